"""How to cut: which tiles, how large, in which order."""
