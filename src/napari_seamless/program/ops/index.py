"""Operators that copy pixels: output pixel o of an axis is input pixel f(o).

Slicing, cropping, reflect / replicate / circular padding, rolling, flipping and nearest-neighbour resizing are one rule
with different index functions. Constant padding is the same with a second answer, "the constant".
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, Operation, gathered
from napari_seamless.program.ops.sliding import padded, room
from napari_seamless.program.spans import Box, Span, clip

NARROW = 64
"""So many pixels of padding are copied one by one; more of them all at once."""


@dataclass(frozen=True)
class Index(ABC):
    """One axis: which input pixel each output pixel copies. `size` is the input's true size."""

    size: int

    @abstractmethod
    def sources(self, span: Span) -> range | Sequence[int]:
        """The input pixel of each output pixel in `span`."""

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
class Nearest(Index):
    """Nearest-neighbour resizing with torch's own single-precision arithmetic, so that the same pixels are chosen.

    `scale` is input pixels per output pixel as torch computes it; `exact` is mode "nearest-exact" (pixel centres).
    """

    scale: float
    exact: bool

    def sources(self, span: Span) -> Sequence[int]:
        position = torch.arange(*span, dtype=torch.float32)
        if self.exact:
            position = position + 0.5
        scale = torch.tensor(self.scale, dtype=torch.float32)
        return (position * scale).floor().to(torch.int64).clamp(max=self.size - 1).tolist()

    def demand(self, span: Span) -> Span:
        first, last = self.sources((span[0], span[0] + 1))[0], self.sources((span[1] - 1, span[1]))[0]
        return first, last + 1

    @property
    def centre(self) -> Centre:
        scale = Fraction(self.scale).limit_denominator(1 << 20)
        return scale, (scale - 1) / 2


@dataclass(frozen=True)
class Copy(Operation):
    """Copy pixels along one or more axes by their index functions. `dims[axis]` is the tensor dimension of the axis."""

    indices: tuple[tuple[int, int, Index], ...]
    """(axis, dimension, index function)"""

    @property
    def aliases(self) -> bool:
        return True

    def _along(self, axis: int) -> Index | None:
        return next((index for a, _, index in self.indices if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        index = self._along(axis)
        return (index.demand(span) if index is not None and span is not None else span,)

    def border(self, axis: int, span: Span | None) -> Hashable:
        index = self._along(axis)
        if index is None or span is None:
            return ()
        lo, hi = index.demand(span)
        return hi - lo != span[1] - span[0]

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


@dataclass(frozen=True)
class Select(Operation):
    """One fixed pixel of one axis, which the result no longer has."""

    axis: int
    dim: int
    at: int

    @property
    def aliases(self) -> bool:
        return True

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        return ((self.at, self.at + 1) if axis == self.axis else span,)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return inputs[0].select(self.dim, 0)


@dataclass(frozen=True)
class ConstantPad(Operation):
    """Padding by a constant, or cropping where it is negative. `edges` are (axis, before, input size) by dimension.

    `dims` counts tensor dimensions from the last, as torch's pad does.
    """

    edges: tuple[tuple[int, int, int], ...]
    dims: tuple[int, ...]
    value: float

    @property
    def aliases(self) -> bool:
        return True

    def _edge(self, axis: int) -> tuple[int, int] | None:
        return next(((before, size) for a, before, size in self.edges if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        edge = self._edge(axis)
        if edge is None or span is None:
            return (span,)
        before, size = edge
        return (clip((span[0] - before, span[1] - before), size),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        return self._missing(axis, span) if self._edge(axis) is not None and span is not None else ()

    def centre(self, axis: int) -> Centre:
        edge = self._edge(axis)
        return IDENTITY if edge is None else (Fraction(1), Fraction(-edge[0]))

    def _missing(self, axis: int, span: Span | None) -> tuple[int, int]:
        """Constant pixels before and after what the input holds (negative: the kept single pixel is outside)."""
        edge = self._edge(axis)
        assert edge is not None
        assert span is not None
        held = self.demand(axis, span)[0]
        assert held is not None
        return held[0] - (span[0] - edge[0]), (span[1] - edge[0]) - held[1]

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        pads = [(0, 0)] * max(self.dims)
        for (axis, _, _), dim in zip(self.edges, self.dims, strict=True):
            pads[-dim] = self._missing(axis, want[axis])
        if any(min(p) < 0 for p in pads):
            return self._beyond(inputs[0], pads)
        return padded(inputs[0], pads, self.value)

    def _beyond(self, x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
        """A region that lies wholly in the padding: nothing of the input is left in it."""
        first = x.dim() - len(pads)
        shape = list(x.shape[:first]) + [n + b + a for n, (b, a) in zip(x.shape[first:], pads, strict=True)]
        return x.new_full(shape, self.value)


@dataclass(frozen=True)
class Enlarge(Operation):
    """Resizing by whole factors with torch's own kernel on an aligned region: the quick way for nearest and linear.

    `factors` are (axis, dimension, factor, input size); `mode` is torch's. For linear modes a further pixel on each
    side is needed, where there is one. Source coordinates are (o + 0.5) / factor - 0.5 (align_corners=False).
    """

    factors: tuple[tuple[int, int, int, int], ...]
    mode: str

    def _along(self, axis: int) -> tuple[int, int] | None:
        return next(((f, n) for a, _, f, n in self.factors if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        along = self._along(axis)
        if along is None or span is None:
            return (span,)
        factor, size = along
        if self.mode == "nearest":
            return ((span[0] // factor, (span[1] - 1) // factor + 1),)
        first = (2 * span[0] + 1 - factor) // (2 * factor)
        last = (2 * span[1] - 1 - factor) // (2 * factor) + 1
        return (clip((first, last + 1), size),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        along = self._along(axis)
        if along is None or span is None:
            return ()
        held = self.demand(axis, span)[0]
        assert held is not None
        return span[0] - held[0] * along[0]

    def centre(self, axis: int) -> Centre:
        along = self._along(axis)
        if along is None:
            return IDENTITY
        return Fraction(1, along[0]), Fraction(1, 2 * along[0]) - Fraction(1, 2)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        corners = None if self.mode == "nearest" else False
        full = F.interpolate(
            inputs[0], scale_factor=[float(f) for _, _, f, _ in self.factors], mode=self.mode, align_corners=corners
        )
        for axis, dim, factor, _ in self.factors:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            full = full.narrow(dim, span[0] - held[0] * factor, span[1] - span[0])
        return full

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """The surplus rim of the aligned region."""
        full, wanted = sizes[0], sizes[0]
        for axis, _, factor, _ in self.factors:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            full *= factor
            wanted = wanted * (span[1] - span[0]) // (held[1] - held[0])
        return max(full - wanted, 0)
