"""Copying pixels along axes: output pixel o of an axis is input pixel f(o).

Slicing, reflect / replicate / circular padding, rolling, flipping and nearest-neighbour resizing are one operation with
different index functions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import (
    IDENTITY,
    Centre,
    LowPrecision,
    Memory,
    Operation,
    gathered,
)
from napari_seamless.program.ops.request import (
    Built,
    ImageArgument,
    spatial_axis,
)
from napari_seamless.program.ops.sliding import room
from napari_seamless.program.spans import Box, Span

NARROW = 64
"""So many pixels of padding are copied one by one; more of them all at once."""


@dataclass(frozen=True)
class Index(ABC):
    """One axis: which input pixel each output pixel copies. `size` is the input's true size."""

    size: int

    @abstractmethod
    def sources(self, span: Span) -> range | Sequence[int]:
        """The input pixel of each output pixel in `span`."""

    def phase(self, span: Span) -> Hashable:
        """What, beside sizes, makes this span's copy differ from another's."""
        lo, hi = self.demand(span)
        return hi - lo != span[1] - span[0]

    def demand(self, span: Span) -> Span:
        where = self.sources(span)
        if isinstance(where, range):
            return min(where[0], where[-1]), max(where[0], where[-1]) + 1
        return min(where), max(where) + 1

    @property
    def centre(self) -> Centre:
        return IDENTITY


@dataclass(frozen=True)
class Strided(Index):
    """Slicing: start + o * step, with a positive or negative step (flip: start = size - 1, step = -1)."""

    start: int
    step: int = 1

    def sources(self, span: Span) -> range:
        stop = self.start + span[1] * self.step
        return range(self.start + span[0] * self.step, stop, self.step)

    @property
    def centre(self) -> Centre:
        return Fraction(self.step), Fraction(self.start)


@dataclass(frozen=True)
class Bordered(Index):
    """Padding by `before` pixels taken from the image itself: "reflect", "replicate" or "circular".

    torch's reflect does not repeat the border pixel and reaches at most size - 1 pixels; circular also serves roll.
    """

    before: int
    mode: str

    def sources(self, span: Span) -> range | Sequence[int]:
        lo, hi = span[0] - self.before, span[1] - self.before
        if lo >= 0 and hi <= self.size:
            return range(lo, hi)
        return [self.fold(i) for i in range(lo, hi)]

    def demand(self, span: Span) -> Span:
        """Only pixels near the border fold back, so the ends and the fold points settle it."""
        lo, hi = span[0] - self.before, span[1] - self.before
        folds = [i for i in (lo, hi - 1, 0, self.size - 1, -1, self.size) if lo <= i < hi]
        where = [self.fold(i) for i in folds]
        return min(where), max(where) + 1

    def inner(self, span: Span) -> Span:
        """The input pixels of that part of `span` which is no padding; perhaps none."""
        return max(span[0] - self.before, 0), min(span[1] - self.before, self.size)

    def fold(self, i: int) -> int:
        """The input pixel that stands at position i, which may lie outside."""
        match self.mode:
            case "reflect":
                i = abs(i)
                return i if i < self.size else 2 * (self.size - 1) - i
            case "replicate":
                return min(max(i, 0), self.size - 1)
            case _:
                return i % self.size

    @property
    def centre(self) -> Centre:
        return Fraction(1), Fraction(-self.before)


@dataclass(frozen=True)
class Periodic(Index):
    """The image again and again."""

    def sources(self, span: Span) -> range | Sequence[int]:
        first = span[0] // self.size * self.size
        if span[1] <= first + self.size:
            return range(span[0] - first, span[1] - first)
        return [i % self.size for i in range(*span)]

    def phase(self, span: Span) -> Hashable:
        return span[0] % self.size if isinstance(self.sources(span), list) else ()


@dataclass(frozen=True)
class Enlarged(Index):
    """Each pixel `times` times, one beside the other."""

    times: int

    def sources(self, span: Span) -> Sequence[int]:
        return [i // self.times for i in range(*span)]

    def phase(self, span: Span) -> Hashable:
        return span[0] % self.times

    @property
    def centre(self) -> Centre:
        return Fraction(1, self.times), Fraction(1, 2 * self.times) - Fraction(1, 2)


@dataclass(frozen=True)
class Listed(Index):
    """Output pixel o is input pixel where[o]."""

    where: tuple[int, ...]

    def sources(self, span: Span) -> Sequence[int]:
        return self.where[span[0] : span[1]]

    def phase(self, span: Span) -> Hashable:
        lo, _ = self.demand(span)
        return tuple(i - lo for i in self.sources(span))


@dataclass(frozen=True)
class Copy(Operation):
    """Copy pixels along one or more axes by their index functions. `dims[axis]` is the tensor dimension of the axis."""

    indices: tuple[tuple[int, int, Index], ...]
    """(axis, dimension, index function)"""

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def _along(self, axis: int) -> Index | None:
        return next((index for a, _, index in self.indices if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        index = self._along(axis)
        return (index.demand(span) if index is not None and span is not None else span,)

    def border(self, axis: int, span: Span | None) -> Hashable:
        index = self._along(axis)
        if index is None or span is None:
            return ()
        return index.phase(span)

    def centre(self, axis: int) -> Centre:
        index = self._along(axis)
        return index.centre if index is not None else IDENTITY

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        x, moves = inputs[0], []
        for axis, dim, index in self.indices:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            moves.append((dim, index, span, held))
        rims = [rim for rim in map(_rim, moves) if rim is not None]
        if not x.requires_grad and any(rims) and len(rims) == len(moves) and all(dim >= 2 for dim, *_ in moves):
            return _framed(x, moves, rims)
        for dim, index, span, held in moves:
            x = copied(x, dim, index.sources(span), held)
        return x

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        changed = [a for a, _, _ in self.indices if have[0][a] != want[a]]
        return sizes[0] * max(len(changed) - 1, 0)


def copied(x: Tensor, dim: int, where: range | Sequence[int], held: Span) -> Tensor:
    """Pixels `where` along one dimension of a tensor that holds pixels `held` (a view where they are in steps)."""
    if isinstance(where, range) and where.step > 0:
        first = where[0] - held[0]
        return x.narrow(dim, first, where[-1] - where[0] + 1)[(slice(None),) * dim + (slice(None, None, where.step),)]
    return gathered(x, dim, torch.tensor(list(where), device=x.device) - held[0])


Move = tuple[int, Index, Span, Span]
"""Along a dimension, by an index function: the pixels wanted, from a tensor that holds those of the last span."""


Rim = list[tuple[int, int]]
"""Pixels of a result that copy others of it: (to, from), both counted from its start."""


def _rim(move: Move) -> Rim | None:
    """The padding of one dimension, if it is narrow and folds onto pixels that the result holds anyway; else None."""
    _, index, span, _ = move
    if not isinstance(index, Bordered):
        return None
    start, (lo, hi) = span[0] - index.before, index.inner(span)
    outside = [*range(start, lo), *range(hi, span[1] - index.before)]
    if lo >= hi or len(outside) > NARROW:
        return None
    rim = [(i - start, index.fold(i) - start) for i in outside]
    return rim if all(lo - start <= source < hi - start for _, source in rim) else None


def _framed(x: Tensor, moves: Sequence[Move], rims: Sequence[Rim]) -> Tensor:
    """Copy what lies inside once, and the rim from there."""
    pads = [(0, 0)] * (x.dim() - 2)
    for dim, index, span, held in moves:
        assert isinstance(index, Bordered)
        (lo, hi), start = index.inner(span), span[0] - index.before
        pads[dim - 2] = lo - start, start + span[1] - span[0] - hi
        x = x.narrow(dim, lo - held[0], hi - lo)
    out = room(x, pads)
    inner = out
    for dim, (before, _) in enumerate(pads, 2):
        inner = inner.narrow(dim, before, x.shape[dim])
    inner.copy_(x)
    for (dim, *_), rim in zip(moves, rims, strict=True):
        for to, source in rim:
            out.select(dim, to).copy_(out.select(dim, source))
    return out


def copy_along(image: ImageArgument, indices: list[tuple[int, Index]]) -> Built:
    """Copy along the given dimensions, all of which must be spatial."""
    found = []
    for dim, index in indices:
        axis = spatial_axis(image.value, dim)
        assert axis is not None
        found.append((axis, dim, index))
    return Built(Copy(tuple(found)), (image,), image.value.dims)
