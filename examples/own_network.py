"""A network of your own, as it is: no wrapper, no halo to state, and the result of the whole image.

python examples/own_network.py
"""

import argparse

import numpy as np
import torch
from torch import nn

import napari_seamless as ns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=1500)
    size = parser.parse_args().size

    network = nn.Sequential(
        nn.Conv2d(1, 8, 5, padding=2, padding_mode="reflect"),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(8, 1, 1),
    ).eval()
    image = np.random.default_rng(0).random((size, size), dtype=np.float32)

    tiled = np.asarray(ns.run(network, image, tile=256))
    with torch.no_grad():
        whole = network(torch.from_numpy(image)[None, None]).numpy().reshape(tiled.shape)
    print(ns.explain(network, image, tile=256))
    print(f"largest difference from the whole image: {abs(tiled - whole).max():.1e}")


if __name__ == "__main__":
    main()
