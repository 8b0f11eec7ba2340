"""From a training file to a model: images, masks, network, log and card."""
