"""What a network learns from: pieces of images, strokes, and batches of images of different shapes."""
