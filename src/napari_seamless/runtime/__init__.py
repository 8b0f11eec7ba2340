"""A program on a device: engines, plans of tiles, and executors that work through them."""
