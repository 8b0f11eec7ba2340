"""Networks for labelling pixels without padding: SW, SK, U and USK.

They are those of Tschopp 2015, "Efficient Convolutional Neural Networks for Pixelwise Classification on Heterogeneous
Hardware Systems" (arXiv 1509.03371). Layers, kernels, dilations and features are those of the author's own
definitions, published as Caffe files for three channels and two classes (github.com/naibaf7/caffe_neural_models:
net_sk_2out, net_u_2out, net_usk_2out). k is the side of a kernel, d its dilation; every convolution is followed by a
ReLU but for the last and those marked (linear); every pool is the maximum of 2 x 2.

SW and SK, context 101 (a crop of 102 x 102)::

    conv k7 48 | pool | conv k5 128     | pool     | conv k3 192     | pool     | k10 1024     | k1 512 | k1 classes
    SK has d1    d1     d2                d2         d4                d4         d8

U, context 184::

    64 64 ------------------------------------------------------------------------- cut, join | 64 64 | k1 classes
      pool | 128 128 -------------------------------------- cut, join | 128 128 | up, k1 64 (linear)
               pool | 256 256 ------------- cut, join | 256 256 | up, k1 128 (linear)
                        pool | 512 512 - ... 1024 1024 ...                   all k3

USK, context 180, with SK layers at the bottom of two scales::

    64 64 pool 128 128 pool | k5 128 d1 | pool d1 | k3 128 d2 | pool d2 | k3 256 d4 | pool d4 | k3 512 d8 | k1 256 | ...

"up" repeats every pixel twice along each axis; the definitions write it as a transposed convolution whose weights stay
at one. Weights here begin as He et al. 2015 has it (the definitions draw from normal distributions of about that
width, SK from one of 0.01), biases at zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def sw_net(
    inputs: int = 3,
    outputs: int = 2,
    widths: Sequence[int] = (48, 128, 192),
    kernels: Sequence[int] = (7, 5, 3),
    last: int = 10,
    hidden: Sequence[int] = (1024, 512),
) -> nn.Sequential:
    """The classifier of crops that SK is made of: (n, inputs, crop, crop) -> (n, outputs) scores.

    `last` is the side of the map that the first linear layer sees. The crop is `sw_crop(kernels, last)`.
    """
    layers: list[nn.Module] = []
    for before, width, kernel in zip((inputs, *widths), widths, kernels, strict=False):
        layers += [nn.Conv2d(before, width, kernel), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for before, width in pairwise((widths[-1] * last**2, *hidden)):
        layers += [nn.Linear(before, width), nn.ReLU()]
    return _begun(nn.Sequential(*layers, nn.Linear(hidden[-1], outputs)))


def sw_crop(kernels: Sequence[int] = (7, 5, 3), last: int = 10) -> int:
    """The side of the crops that a classifier sees.

    >>> sw_crop()
    102
    """
    size = last
    for kernel in reversed(kernels):
        size = 2 * size + kernel - 1
    return size


class ValidNetwork(nn.Module):
    """(n, inputs, y, x) -> (n, outputs, y - context, x - context) scores, without any padding.

    Sizes less the context are `multiple` times a number, plus `rest`; of other sizes the far rows and columns are left
    out. Output pixel o lies at input pixel o + `before`. With `mirror` the image is reflected at its borders, as far as
    is needed for an output of its own size; it must be larger than the context, then.
    """

    context: int
    before: int
    multiple = 1
    rest = 0

    def __init__(self, mirror: bool) -> None:
        super().__init__()
        self.mirror = mirror

    def valid(self, x: Tensor) -> Tensor:
        """The network itself."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        if not self.mirror:
            return self.valid(x)
        rows, columns = x.shape[-2:]
        after = self.context - self.before
        down, right = ((self.rest - size) % self.multiple + after for size in (rows, columns))
        x = F.pad(x, (self.before, right, self.before, down), mode="reflect")
        return self.valid(x)[..., :rows, :columns]


class SKNet(ValidNetwork):
    """What `sw_net` answers for the crop around every pixel, computed at once.

    Output pixel o is the answer for the crop [o, o + crop), whose middle is o + crop // 2. The parameters are those of
    `sw_net`.
    """

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 2,
        widths: Sequence[int] = (48, 128, 192),
        kernels: Sequence[int] = (7, 5, 3),
        last: int = 10,
        hidden: Sequence[int] = (1024, 512),
        mirror: bool = False,
    ) -> None:
        super().__init__(mirror)
        layers = _strided_kernels(inputs, widths, kernels, last, hidden)
        self.layers = _begun(nn.Sequential(*layers, nn.Conv2d(hidden[-1], outputs, 1)))
        crop = sw_crop(kernels, last)
        self.context, self.before = crop - 1, crop // 2

    def valid(self, x: Tensor) -> Tensor:
        scores: Tensor = self.layers(x)
        return scores


class UShaped(ValidNetwork):
    """Scales of two 3 x 3 convolutions around a `bottom` that takes `bottom_context` pixels of its own grid.

    `widths` are those of the scales, finest first; `bottom` goes from the last of them to `bottom_width` features.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        widths: Sequence[int],
        bottom: nn.Module,
        bottom_context: int,
        bottom_width: int,
        mirror: bool,
    ) -> None:
        super().__init__(mirror)
        self.down = nn.ModuleList(_two_convs(a, b) for a, b in pairwise((inputs, *widths)))
        self.halve = nn.MaxPool2d(2)
        self.bottom = bottom
        coarser = (*widths[1:], bottom_width)
        # a 1 x 1 convolution gives the same before and after pixels are repeated, for a quarter of the work
        self.narrow = nn.ModuleList(nn.Conv2d(a, b, 1) for a, b in zip(coarser, widths, strict=True))
        self.enlarge = nn.Upsample(scale_factor=2, mode="nearest")
        self.up = nn.ModuleList(_two_convs(2 * width, width) for width in widths)
        self.head = nn.Conv2d(widths[0], outputs, 1)
        _begun(self)
        self.cuts, self.context, self.rest = [], bottom_context, 0
        for _ in widths:
            self.cuts.append(self.context)
            self.context, self.rest = 2 * self.context + 8, 2 * self.rest - 4
        self.before, self.multiple = self.context // 2, 2 ** len(widths)

    def valid(self, x: Tensor) -> Tensor:
        fine: list[Tensor] = []
        for convs in self.down:
            fine.append(convs(x))
            x = self.halve(fine[-1])
        x = self.bottom(x)
        for narrow, convs, cut in zip(reversed(self.narrow), reversed(self.up), self.cuts, strict=True):
            x = self.enlarge(narrow(x))
            rows, columns = x.shape[-2:]
            x = convs(torch.cat([x, fine.pop()[..., cut : cut + rows, cut : cut + columns]], dim=1))
        scores: Tensor = self.head(x)
        return scores


class ValidUNet(UShaped):
    """U: `widths` are the features of all scales, finest first, the last being the bottom's."""

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 2,
        widths: Sequence[int] = (64, 128, 256, 512, 1024),
        mirror: bool = False,
    ) -> None:
        *scales, width = widths
        super().__init__(inputs, outputs, scales, _two_convs(scales[-1], width), 4, width, mirror)


class USKNet(UShaped):
    """USK: scales of `widths`, and at the bottom SK layers of `bottom` features with `kernels`, `last` and `hidden`."""

    def __init__(
        self,
        inputs: int = 3,
        outputs: int = 2,
        widths: Sequence[int] = (64, 128),
        bottom: Sequence[int] = (128, 128, 256),
        kernels: Sequence[int] = (5, 3, 3),
        last: int = 3,
        hidden: Sequence[int] = (512, 256),
        mirror: bool = False,
    ) -> None:
        layers = nn.Sequential(*_strided_kernels(widths[-1], bottom, kernels, last, hidden))
        super().__init__(inputs, outputs, widths, layers, sw_crop(kernels, last) - 1, hidden[-1], mirror)


def _strided_kernels(
    inputs: int, widths: Sequence[int], kernels: Sequence[int], last: int, hidden: Sequence[int]
) -> list[nn.Module]:
    """The layers of a classifier but for its last, with dilations in place of strides."""
    layers: list[nn.Module] = []
    apart = 1
    for before, width, kernel in zip((inputs, *widths), widths, kernels, strict=False):
        layers += [nn.Conv2d(before, width, kernel, dilation=apart), nn.ReLU()]
        layers.append(nn.MaxPool2d(2, stride=1, dilation=apart))
        apart *= 2
    layers += [nn.Conv2d(widths[-1], hidden[0], last, dilation=apart), nn.ReLU()]
    for before, width in pairwise(hidden):
        layers += [nn.Conv2d(before, width, 1), nn.ReLU()]
    return layers


def _two_convs(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3), nn.ReLU(), nn.Conv2d(outputs, outputs, 3), nn.ReLU())


def _begun(network: Network) -> Network:
    """With weights to begin a training with."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network
