"""The loop that trains: steps, scores, checkpoints and events."""
