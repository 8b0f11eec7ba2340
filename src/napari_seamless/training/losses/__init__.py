"""Losses over the pixels of an image."""
