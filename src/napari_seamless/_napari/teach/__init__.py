"""The dock that teaches a network by strokes: what is painted, what is learned, and what comes of it, live."""
