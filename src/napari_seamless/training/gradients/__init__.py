"""Exact gradients through a network on an image of any size, tile by tile."""
