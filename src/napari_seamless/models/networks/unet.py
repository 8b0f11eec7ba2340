"""A small U-Net of local operators only, for planes and volumes.

Every operator looks at a bounded neighbourhood (convolutions over 3 or 1 pixels along each axis,
maxima over 2, nearest-neighbour upsampling, batch norm with stored moments), so an output pixel
depends on a bounded region of the input and the network can be cut into tiles exactly.

    widths[0]  -- two convs ----------------------------- join -- two convs -- conv 1 -> logits
                     | max 2                                | nearest x2
    widths[1]      two convs ------------------ join -- two convs
                     |                            |
    ...             ...                          ...
    widths[-1]         two convs ----------------'

A *join* narrows the coarse features with a convolution over single pixels before they are enlarged, where
that costs a quarter, and stacks them on the fine features of the same width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

Norm = Literal["batch", "pixel"]
CONVOLUTIONS = {2: nn.Conv2d, 3: nn.Conv3d}
BATCH_NORMS = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
POOLS = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
"""Of planes (y, x) and of volumes (z, y, x)."""


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel by itself: (n, c, [z,] y, x) -> the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvUnit(nn.Sequential):
    """Convolution over 3 pixels along each axis, norm, ReLU; keeps the size, with zeros outside the image."""

    def __init__(self, inputs: int, outputs: int, norm: Norm, spatial_dims: int) -> None:
        # slow moments: training stops following them at some point, and one batch says little
        made = BATCH_NORMS[spatial_dims](outputs, momentum=0.02) if norm == "batch" else PixelNorm(outputs)
        super().__init__(
            # a batch norm has its own offset, so a bias before it would do nothing
            CONVOLUTIONS[spatial_dims](inputs, outputs, kernel_size=3, padding=1, bias=norm != "batch"),
            made,
            nn.ReLU(inplace=True),
        )


class Join(nn.Module):
    """Bring coarse features to the size and width of fine ones and stack the two."""

    def __init__(self, coarse: int, fine: int, spatial_dims: int) -> None:
        super().__init__()
        self.narrow = CONVOLUTIONS[spatial_dims](coarse, fine, kernel_size=1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        """(n, coarse, [z/2,] y/2, x/2) and (n, fine, [z,] y, x) -> (n, 2*fine, [z,] y, x)."""
        return torch.cat([self.enlarge(self.narrow(coarse)), fine], dim=1)


class UNet(nn.Module):
    """(n, inputs, [z,] y, x) -> (n, outputs, [z,] y, x) logits; each side must be a multiple of `stride`.

    Parameters
    ----------
    inputs, outputs
        Channels in and out.
    widths
        Channels at each scale, finest first; each scale halves the size of the one before.
    norm
        "batch", or "pixel": over the channels of each pixel, which is the same in training, however few pixels a step
        sees, and needs no statistics of the plane.
    spatial_dims
        2 for planes, 3 for volumes.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int] = (16, 32, 64, 96, 128),
        norm: Norm = "batch",
        spatial_dims: int = 2,
    ) -> None:
        super().__init__()
        if spatial_dims not in CONVOLUTIONS:
            raise ValueError(f"spatial_dims must be 2 (planes) or 3 (volumes); got {spatial_dims}")
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(
            _two_convs(before, width, norm, spatial_dims)
            for before, width in zip((inputs, *widths), widths, strict=False)
        )
        self.joins = nn.ModuleList(Join(coarse, fine, spatial_dims) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(_two_convs(2 * width, width, norm, spatial_dims) for width in widths[:-1])
        self.halve = POOLS[spatial_dims](2)
        self.head = CONVOLUTIONS[spatial_dims](widths[0], outputs, kernel_size=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of the same size as `x`."""
        skips: list[torch.Tensor] = []
        for scale, convs in enumerate(self.down):
            x = convs(self.halve(x) if scale else x)
            skips.append(x)
        x = skips.pop()
        for join, convs in zip(reversed(self.joins), reversed(self.up), strict=True):
            x = convs(join(x, skips.pop()))
        logits: torch.Tensor = self.head(x)
        return logits


def _two_convs(inputs: int, outputs: int, norm: Norm, spatial_dims: int) -> nn.Sequential:
    return nn.Sequential(ConvUnit(inputs, outputs, norm, spatial_dims), ConvUnit(outputs, outputs, norm, spatial_dims))
