"""What a network learns from: images with targets, augmentation, crops."""
