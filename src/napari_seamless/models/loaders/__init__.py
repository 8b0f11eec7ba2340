"""One module for each format in which networks are kept."""
