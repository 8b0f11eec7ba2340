"""Channels moved into space, and back: pixel shuffle and unshuffle."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import (
    IDENTITY,
    Centre,
    LowPrecision,
    Memory,
    Operation,
)
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    Operator,
    Operators,
    Request,
    all_spatial_axes,
)
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class PixelShuffle(Operation):
    """(n, c r r, y, x) -> (n, c, y r, x r) (Shi et al. 2016, arXiv 1609.05158). `axes` are those of y and x."""

    axes: tuple[int, int]
    factor: int

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis not in self.axes or span is None:
            return (span,)
        return ((span[0] // self.factor, (span[1] - 1) // self.factor + 1),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        return span[0] % self.factor if axis in self.axes and span is not None else ()

    def centre(self, axis: int) -> Centre:
        if axis not in self.axes:
            return IDENTITY
        return Fraction(1, self.factor), Fraction(1, 2 * self.factor) - Fraction(1, 2)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        full = F.pixel_shuffle(inputs[0], self.factor)
        for dim, axis in ((-2, self.axes[0]), (-1, self.axes[1])):
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            full = full.narrow(dim, span[0] - held[0] * self.factor, span[1] - span[0])
        return full


@dataclass(frozen=True)
class PixelUnshuffle(Operation):
    """(n, c, y r, x r) -> (n, c r r, y, x): the reverse."""

    axes: tuple[int, int]
    factor: int

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis not in self.axes or span is None:
            return (span,)
        return ((span[0] * self.factor, span[1] * self.factor),)

    def centre(self, axis: int) -> Centre:
        if axis not in self.axes:
            return IDENTITY
        return Fraction(self.factor), Fraction(self.factor - 1, 2)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return F.pixel_unshuffle(inputs[0], self.factor)


def shuffle(up: bool) -> Builder:
    def build(request: Request) -> Built:
        image = request.image()
        y, x = all_spatial_axes(image, 2, "moves channels")
        kind = PixelShuffle if up else PixelUnshuffle
        return Built(kind((y, x), request.arg(1)), (image,), image.value.dims)

    return build


OPERATORS: Operators = {
    "aten.pixel_shuffle.default": Operator(shuffle(True)),
    "aten.pixel_unshuffle.default": Operator(shuffle(False)),
}
