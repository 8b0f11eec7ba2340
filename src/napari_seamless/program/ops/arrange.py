"""Operators that put tensors side by side or move channels into space: cat, pixel shuffle and unshuffle."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, Operation
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class SpatialCat(Operation):
    """Inputs one after the other along a spatial axis. `sizes` are their true sizes along it."""

    axis: int
    dim: int
    sizes: tuple[int, ...]

    def _starts(self) -> list[int]:
        return [sum(self.sizes[:k]) for k in range(len(self.sizes))]

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis != self.axis or span is None:
            return (span,) * len(self.sizes)
        return tuple(
            clip((span[0] - start, span[1] - start), size)
            for start, size in zip(self._starts(), self.sizes, strict=True)
        )

    def border(self, axis: int, span: Span | None) -> Hashable:
        if axis != self.axis or span is None:
            return ()
        return tuple(self._shared(span, k) for k in range(len(self.sizes)))

    def _shared(self, span: Span, k: int) -> int:
        """How many pixels of input k are in the region."""
        start = self._starts()[k]
        return max(min(span[1] - start, self.sizes[k]) - max(span[0] - start, 0), 0)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        span = want[self.axis]
        assert span is not None
        return torch.cat([x for k, x in enumerate(inputs) if self._shared(span, k)], self.dim)


@dataclass(frozen=True)
class PixelShuffle(Operation):
    """(n, c r r, y, x) -> (n, c, y r, x r) (Shi et al. 2016, arXiv 1609.05158). `axes` are those of y and x."""

    axes: tuple[int, int]
    factor: int

    @property
    def aliases(self) -> bool:
        return True

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
