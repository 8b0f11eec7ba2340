"""Batches of images of different shapes, and a classifier that takes them."""
