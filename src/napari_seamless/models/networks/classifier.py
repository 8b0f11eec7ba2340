"""A small classifier of whole images, planes or volumes, of any size.

Two convolutions at each scale, and a mean over the plane before the last layer: the only operator that looks at all of
it, so that a slide is gone over twice, not once more for every norm.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from napari_seamless.models.networks.unet import CONVOLUTIONS


class Classifier(nn.Module):
    """(n, inputs, [z,] y, x) -> (n, outputs) scores. Each of `widths` is a scale of half the size of the one before;
    `spatial_dims` is 2 for planes, 3 for volumes."""

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int] = (16, 32, 64, 96), spatial_dims: int = 2
    ) -> None:
        super().__init__()
        if spatial_dims not in CONVOLUTIONS:
            raise ValueError(f"spatial_dims must be 2 (planes) or 3 (volumes); got {spatial_dims}")
        conv = CONVOLUTIONS[spatial_dims]
        layers: list[nn.Module] = []
        for before, width in zip((inputs, *widths), widths, strict=False):
            layers += [conv(before, width, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
            layers += [conv(width, width, 3, padding=1), nn.ReLU(inplace=True)]
        self.body = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1) if spatial_dims == 2 else nn.AdaptiveAvgPool3d(1)
        self.head = nn.Linear(widths[-1], outputs)
        for module in self.modules():
            if isinstance(module, conv):  # without norms signals must keep their size from layer to layer
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Scores of the whole image."""
        scores: torch.Tensor = self.head(self.pool(self.body(x)).flatten(1))
        return scores
