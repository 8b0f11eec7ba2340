"""Train a network of your own on images too large for memory: the gradients are those of the whole image.

python examples/streamed_training.py
"""

import argparse

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import napari_seamless as ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=2000)
    size = parser.parse_args().size

    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)]
    network = nn.Sequential(*layers, nn.Conv2d(8, 8, 3, padding=1), nn.Upsample(scale_factor=2), nn.Conv2d(8, 2, 1))
    image = np.random.default_rng(0).random((1, size, size), dtype=np.float32)
    target = (image > image.mean()).astype(np.int64)

    stream = ns.StreamedGradient(network.train(), budget="200MB")
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for step in range(5):
        loss = stream.loss(image, target, F.cross_entropy)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"step {step}: loss {loss.item():.4f}, tiles of {stream.edges_for(image.shape)} in each pass")


if __name__ == "__main__":
    main()
