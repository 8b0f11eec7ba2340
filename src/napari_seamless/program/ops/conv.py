"""Convolution and transposed convolution in 1, 2 and 3 dimensions: stride, dilation, groups, any padding.

Inside the image a convolution runs without padding at all on the pixels it reaches; padding appears only in the tiles
that touch the true border. A transposed convolution is the same picture read backwards: input i reaches outputs
i * s - p + d * k', so it runs unpadded on the inputs that reach the wanted outputs, and the surplus is cut off.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, Operation
from napari_seamless.program.ops.sliding import Slide, Sliding, padded, paddings
from napari_seamless.program.spans import Box, Span

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Conv(Sliding):
    """Convolution of (n, c, ...) by a constant weight (out, c / groups, ...) and bias (out,)."""

    weight: str
    bias: str | None
    groups: int

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        x, pads, skip, keep = framed(inputs[0], self.slides, want)
        result = self.convolve(x, pads, constants)
        return result if keep is None else result.narrow(2, skip, keep)

    def convolve(self, x: Tensor, pads: Sequence[int], constants: Mapping[str, Tensor]) -> Tensor:
        """The convolution itself, with the same padding on both sides of a dimension."""
        bias = constants[self.bias] if self.bias is not None else None
        kernel = CONVOLUTIONS[len(self.slides)]
        return kernel(x, constants[self.weight], bias, self.strides, pads, self.dilations, self.groups)

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        return prod(out) * (shapes[0][1] // self.groups) * prod(s.kernel for s in self.slides)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have
        pads = paddings(self.slides, want)
        return sizes[0] if any(before != after for before, after in pads[1:]) else 0


def framed(x: Tensor, slides: Sequence[Slide], want: Box) -> tuple[Tensor, list[int], int, int | None]:
    """Input, symmetric padding, and which rows of the result to keep: (x, pads, rows to skip, rows to keep or None).

    torch's convolutions pad both sides alike, but a tile at one border needs padding on one side. Along the outermost
    dimension both sides are padded and the surplus rows of the result are left out, which costs no copy; along the
    others the padding is put in by hand.
    """
    pads = paddings(slides, want)
    (before, after), slide = pads[0], slides[0]
    span = want[slide.axis] if slide.axis is not None else None
    both = max(before, after)
    surplus = both - before
    is_framed = before != after and span is not None and surplus % slide.stride == 0 and min(before, after) >= 0
    by_hand = [(0, 0) if (is_framed and k == 0) or b == a >= 0 else (b, a) for k, (b, a) in enumerate(pads)]
    symmetric = [both if is_framed and k == 0 else b if b == a >= 0 else 0 for k, (b, a) in enumerate(pads)]
    x = padded(x, by_hand)
    if not is_framed or span is None:
        return x, symmetric, 0, None
    return x, symmetric, surplus // slide.stride, span[1] - span[0]


@dataclass(frozen=True)
class Stretch:
    """One dimension of a transposed convolution: input `size` pixels, output `out` pixels."""

    axis: int | None
    kernel: int
    stride: int
    padding: int
    dilation: int
    size: int
    out: int

    def demand(self, span: Span) -> Span:
        """The inputs that reach outputs `span`; at least one, even where none does."""
        lo = -((self.dilation * (self.kernel - 1) - span[0] - self.padding) // self.stride)
        hi = (span[1] - 1 + self.padding) // self.stride + 1
        lo = min(max(lo, 0), self.size - 1)
        return lo, max(min(hi, self.size), lo + 1)

    def cover(self, span: Span) -> Span:
        """The outputs that inputs `span` reach."""
        lo = span[0] * self.stride - self.padding
        return lo, (span[1] - 1) * self.stride - self.padding + self.dilation * (self.kernel - 1) + 1

    @property
    def centre(self) -> Centre:
        return Fraction(1, self.stride), (self.padding - Fraction(self.dilation * (self.kernel - 1), 2)) / self.stride


@dataclass(frozen=True)
class TransposedConv(Operation):
    """Transposed convolution of (n, c, ...) by a constant weight (c, out / groups, ...)."""

    stretches: tuple[Stretch, ...]
    weight: str
    bias: str | None
    groups: int

    @property
    def aliases(self) -> bool:
        return False

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    def _along(self, axis: int) -> Stretch | None:
        return next((s for s in self.stretches if s.axis == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        stretch = self._along(axis)
        return (stretch.demand(span) if stretch is not None and span is not None else span,)

    def border(self, axis: int, span: Span | None) -> Hashable:
        stretch = self._along(axis)
        if stretch is None or span is None:
            return ()
        lo, hi = stretch.cover(stretch.demand(span))
        return span[0] - lo, hi - span[1]

    def centre(self, axis: int) -> Centre:
        stretch = self._along(axis)
        return stretch.centre if stretch is not None else IDENTITY

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        strides = tuple(s.stride for s in self.stretches)
        dilations = tuple(s.dilation for s in self.stretches)
        crops = [self._crop(s, want) for s in self.stretches]
        uncovered = any(before < 0 or after < 0 for before, after in crops)
        bias = constants[self.bias] if self.bias is not None else None
        full = TRANSPOSED[len(self.stretches)](
            inputs[0],
            constants[self.weight],
            None if uncovered else bias,
            stride=strides,
            groups=self.groups,
            dilation=dilations,
        )
        if not uncovered:
            return cropped(full, crops)
        result = padded(full, [(-before, -after) for before, after in crops])
        return result if bias is None else result + bias.view(-1, *(1,) * len(crops))

    def _crop(self, stretch: Stretch, want: Box) -> tuple[int, int]:
        """Surplus outputs (before, after); negative where outputs are wanted that no input reaches."""
        span = want[stretch.axis] if stretch.axis is not None else None
        if span is None:
            span = (0, stretch.out)
        lo, hi = stretch.cover(stretch.demand(span))
        return span[0] - lo, hi - span[1]

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        return prod(shapes[0]) * (out[1] // self.groups) * prod(s.kernel for s in self.stretches)


def cropped(x: Tensor, crops: Sequence[tuple[int, int]]) -> Tensor:
    """Cut (before, after) from the last len(crops) dimensions."""
    first = x.dim() - len(crops)
    for k, (before, after) in enumerate(crops):
        if before or after:
            x = x.narrow(first + k, before, x.shape[first + k] - before - after)
    return x
