"""A small U-Net of local operators only.

Every operator looks at a bounded neighbourhood (3x3 and 1x1 convolutions, 2x2 maxima,
nearest-neighbour upsampling, batch norm with stored moments), so an output pixel depends on
a bounded region of the input and the network can be cut into tiles exactly.

    widths[0]  -- two convs ----------------------------- join -- two convs -- 1x1 -> logits
                     | max 2                                | nearest x2
    widths[1]      two convs ------------------ join -- two convs
                     |                            |
    ...             ...                          ...
    widths[-1]         two convs ----------------'

A *join* narrows the coarse features with a 1x1 convolution before they are enlarged, where
that costs a quarter, and stacks them on the fine features of the same width.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import nn

Norm = Literal["batch", "pixel"]


class PixelNorm(nn.LayerNorm):
    """Layer norm over the channels of each pixel by itself: (n, c, y, x) -> (n, c, y, x)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class ConvUnit(nn.Sequential):
    """3x3 convolution, norm, ReLU; keeps the size, with zeros outside the image."""

    def __init__(self, inputs: int, outputs: int, norm: Norm = "batch") -> None:
        # slow moments: training stops following them at some point, and one batch says little
        made = nn.BatchNorm2d(outputs, momentum=0.02) if norm == "batch" else PixelNorm(outputs)
        super().__init__(
            # a batch norm has its own offset, so a bias before it would do nothing
            nn.Conv2d(inputs, outputs, kernel_size=3, padding=1, bias=norm != "batch"),
            made,
            nn.ReLU(inplace=True),
        )


class Join(nn.Module):
    """Bring coarse features to the size and width of fine ones and stack the two."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(coarse, fine, kernel_size=1)
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        """(n, coarse, y/2, x/2) and (n, fine, y, x) -> (n, 2*fine, y, x)."""
        return torch.cat([self.enlarge(self.narrow(coarse)), fine], dim=1)


class UNet(nn.Module):
    """(n, inputs, y, x) -> (n, outputs, y, x) logits; y and x must be multiples of `stride`.

    Parameters
    ----------
    inputs, outputs
        Channels in and out.
    widths
        Channels at each scale, finest first; each scale halves the size of the one before.
    norm
        "batch", or "pixel": over the channels of each pixel, which is the same in training, however few pixels a step
        sees, and needs no statistics of the plane.
    """

    def __init__(
        self, inputs: int, outputs: int, widths: Sequence[int] = (16, 32, 64, 96, 128), norm: Norm = "batch"
    ) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(
            _two_convs(before, width, norm) for before, width in zip((inputs, *widths), widths, strict=False)
        )
        self.joins = nn.ModuleList(Join(coarse, fine) for fine, coarse in pairwise(widths))
        self.up = nn.ModuleList(_two_convs(2 * width, width, norm) for width in widths[:-1])
        self.halve = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], outputs, kernel_size=1)

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


def _two_convs(inputs: int, outputs: int, norm: Norm) -> nn.Sequential:
    return nn.Sequential(ConvUnit(inputs, outputs, norm), ConvUnit(outputs, outputs, norm))
