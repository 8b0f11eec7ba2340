"""The network of Cellpose 1 to 3 (Stringer et al. 2021): a U-Net of residual blocks that is told the image's style.

    image -- residual block -- max 2 -- ... -- residual block -- mean over the plane: style
                  |                                  |                |
                  `---------- add, up ------------- ...  <------------'  added in every convolution on the way up

Layers have the names that they have in Cellpose's own files. All operators are local but for the style, the direction
of the mean of the deepest features: a barrier. A convolution comes after its norm and activation.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

DIAMETER = 30.0
"""Of objects in the networks' training, in pixels, unless a file says otherwise."""


def _normed(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU(), convolution)


def _projection(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(inputs), nn.Conv2d(inputs, outputs, 1))


class CellposeDown(nn.Module):
    """Four convolutions in two residual pairs: (n, inputs, y, x) -> (n, outputs, y, x)."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        widths = (inputs, outputs, outputs, outputs)
        self.conv = nn.Sequential()
        for number, width in enumerate(widths):
            self.conv.add_module(f"conv_{number}", _normed(width, outputs, kernel))
        self.proj = _projection(inputs, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The same size."""
        first, second, third, fourth = self.conv
        x = self.proj(x) + second(first(x))
        found: torch.Tensor = x + fourth(third(x))
        return found


class CellposeStyled(nn.Module):
    """A convolution of features to which the style is added."""

    def __init__(self, width: int, style: int, kernel: int) -> None:
        super().__init__()
        self.conv = _normed(width, width, kernel)
        self.full = nn.Linear(style, width)

    def forward(self, x: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """(n, width, y, x) and (n, style) -> (n, width, y, x)."""
        found: torch.Tensor = self.conv(x + self.full(style)[:, :, None, None])
        return found


class CellposeUp(nn.Module):
    """As `CellposeDown`, with the features of the way down and the style."""

    def __init__(self, inputs: int, outputs: int, style: int, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Sequential()
        self.conv.add_module("conv_0", _normed(inputs, outputs, kernel))
        for number in (1, 2, 3):
            self.conv.add_module(f"conv_{number}", CellposeStyled(outputs, style, kernel))
        self.proj = _projection(inputs, outputs)

    def forward(self, x: torch.Tensor, beside: torch.Tensor, style: torch.Tensor) -> torch.Tensor:
        """(n, inputs, y, x) and (n, outputs, y, x) -> (n, outputs, y, x)."""
        first, second, third, fourth = self.conv
        x = self.proj(x) + second(first(x) + beside, style)
        found: torch.Tensor = x + fourth(third(x, style), style)
        return found


class CellposeNetwork(nn.Module):
    """(n, channels, y, x) -> (n, outputs, y, x): flow along y, flow along x, five times as long, logit of a cell.

    y and x must be multiples of `stride`. `widths` are those of the scales, finest first.
    """

    def __init__(
        self, channels: int = 2, outputs: int = 3, widths: Sequence[int] = (32, 64, 128, 256), kernel: int = 3
    ) -> None:
        super().__init__()
        if not widths or kernel % 2 == 0:
            raise ValueError(f"Cellpose has scales and a kernel of odd size; got {len(widths)} and {kernel}")
        self.channels, self.stride = channels, 2 ** (len(widths) - 1)
        self.downsample = nn.ModuleDict({"down": nn.Sequential()})
        self.upsample = nn.ModuleDict({"up": nn.Sequential()})
        for number, (before, width) in enumerate(pairwise((channels, *widths))):
            self.downsample["down"].add_module(f"res_down_{number}", CellposeDown(before, width, kernel))
        for number, (width, coarser) in enumerate(pairwise((*widths, widths[-1]))):
            self.upsample["up"].add_module(f"res_up_{number}", CellposeUp(coarser, width, widths[-1], kernel))
        self.output = _normed(widths[0], outputs, 1)
        self.diam_mean = nn.Parameter(torch.full((1,), DIAMETER), requires_grad=False)
        self.diam_labels = nn.Parameter(torch.full((1,), DIAMETER), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Flows and logits of the same size."""
        features: list[torch.Tensor] = []
        for block in self.downsample["down"].children():
            features.append(block(functional.max_pool2d(features[-1], 2) if features else x))
        mean = features[-1].mean((2, 3))
        style = mean / mean.square().sum(1, keepdim=True).sqrt()
        x = features[-1]
        for number, block in reversed(list(enumerate(self.upsample["up"].children()))):
            coarser = x if number == len(features) - 1 else functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(coarser, features[number], style)
        found: torch.Tensor = self.output(x)
        return found
