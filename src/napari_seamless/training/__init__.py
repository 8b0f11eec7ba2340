"""Training on images that do not fit: each module is one published method, imported by its own name."""
