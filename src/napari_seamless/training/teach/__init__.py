"""A network that learns from strokes while somebody watches."""
