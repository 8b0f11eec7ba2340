"""Star-convex polygons: for every second pixel, how likely it is the middle of an object, and how far its edge is.

    image -- two convs -- max 2 -- U-Net -- ReLU -- conv 1 -> sigmoid: probability
                                                `-- conv 1 -> rays, in pixels

After Schmidt et al. 2018 (StarDist), with two thirds of the weights. All operators are local (unet.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from napari_seamless.models.networks.unet import ConvUnit, UNet

GRID = 2
"""Pixels of the image between those that have an answer."""


class StarNetwork(nn.Module):
    """(n, inputs, y, x) -> (n, 1 + rays, y / 2, x / 2): probability in 0..1, then distances in pixels of the image.

    y and x must be multiples of `stride`. `inputs` are near 0..1; 0 is what lies beyond the image. `features` is the
    width before the answers, `widths` those of the U-Net, `stem` that at full size.
    """

    def __init__(
        self,
        inputs: int = 3,
        rays: int = 32,
        stem: int = 16,
        widths: Sequence[int] = (32, 64, 96, 128),
        features: int = 96,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            ConvUnit(inputs, stem, "batch", 2), ConvUnit(stem, stem, "batch", 2), nn.MaxPool2d(GRID)
        )
        self.unet = UNet(stem, features, widths)
        self.stride = GRID * self.unet.stride
        self.act = nn.ReLU(inplace=True)
        self.probability = nn.Conv2d(features, 1, kernel_size=1)
        self.rays = nn.Conv2d(features, rays, kernel_size=1)
        assert self.rays.bias is not None
        nn.init.constant_(self.rays.bias, 1.0)

    def logits(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """What training works on: (n, 1, y / 2, x / 2) before the sigmoid, and (n, rays, y / 2, x / 2) in pixels."""
        features = self.act(self.unet(self.stem(x)))
        return self.probability(features), self.rays(features) * 8.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The channels that `StarPolygons` takes."""
        probability, rays = self.logits(x)
        return torch.cat([probability.sigmoid(), rays], dim=1)
