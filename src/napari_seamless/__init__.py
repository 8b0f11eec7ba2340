"""Run convolutional networks on images of any size, exactly as if the whole image fitted in memory."""
