"""The end of a pass: a tile's contribution to barriers, and its part of the values that are saved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.ops.operation import Operation, narrow
from napari_seamless.program.spans import Box, Dims, Span

Domain = tuple[int | None, ...]


@dataclass(frozen=True)
class Gathered:
    """What one tile found: a state a barrier (None where it owns none of its pixels), and its part of saved values."""

    states: tuple[State | None, ...]
    pieces: tuple[tuple[int, Box, Tensor], ...]


@dataclass(frozen=True)
class Gather(Operation):
    """Inputs: those of each barrier in turn, then the values `saves`; `dims` and `domains` are theirs.

    Tiles partition the finest of these grids, `domain`; on each coarser one the tile [lo, hi) owns the pixels
    [lo // f, hi // f), f being how many times finer the finest is, so that every pixel has exactly one owner.

    `mask` names a constant, (y, x) bool, that covers the image at any resolution: barriers that look at pixels one by
    one count only those whose centre it has.
    """

    barriers: tuple[Barrier, ...]
    saves: tuple[int, ...]
    dims: tuple[Dims, ...]
    domains: tuple[Domain, ...]
    mask: str | None = None

    @property
    def constant_names(self) -> tuple[str, ...]:
        return () if self.mask is None else (self.mask,)

    @property
    def domain(self) -> Domain:
        axes = zip(*self.domains, strict=True)
        return tuple(max((n for n in sizes if n is not None), default=1) for sizes in axes)

    def own(self, index: int, axis: int, span: Span) -> Span | None:
        """The pixels of input `index` that belong to a tile, along one axis; perhaps none."""
        size, finest = self.domains[index][axis], self.domain[axis]
        if size is None:
            return None
        assert finest is not None
        return _owned(span[0], size, finest), _owned(span[1], size, finest)

    def owns(self, index: int, span: Span, axis: int) -> bool:
        """Whether a tile has pixels of input `index`, along one axis; an axis that it lacks goes to the first tile."""
        own = self.own(index, axis, span)
        return self._is_known(index) or span[0] == 0 if own is None else own[0] < own[1]

    def _is_known(self, index: int) -> bool:
        """Whether an input of a barrier has no positions, so that every tile has it whole."""
        return index < len(self.domains) - len(self.saves) and not any(self.domains[index])

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        assert span is not None
        return tuple(self._needed(i, axis, span) for i in range(len(self.domains)))

    def _needed(self, index: int, axis: int, span: Span) -> Span | None:
        """At least one pixel, since no kernel is ever asked for none."""
        own, size = self.own(index, axis, span), self.domains[index][axis]
        if own is None or size is None or own[0] < own[1]:
            return own
        lo = min(own[0], size - 1)
        return lo, lo + 1

    def border(self, axis: int, span: Span | None) -> Any:
        """How much of each input is the tile's own."""
        assert span is not None
        return tuple(self._length(i, axis, span) for i in range(len(self.domains)))

    def _length(self, index: int, axis: int, span: Span) -> int:
        own = self.own(index, axis, span)
        return int(span[0] == 0) if own is None else own[1] - own[0]

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Any:
        parts = [self._part(i, x, have[i], want) for i, x in enumerate(inputs)]
        states: list[State | None] = []
        for barrier in self.barriers:
            mine, parts = parts[: len(barrier.dims)], parts[len(barrier.dims) :]
            states.append(self._partial(barrier, [p for p in mine if p is not None], constants))
        pieces = [(value, *part) for value, part in zip(self.saves, parts, strict=True) if part is not None]
        return Gathered(tuple(states), tuple(pieces))

    def _partial(
        self, barrier: Barrier, parts: list[tuple[Box, Tensor]], constants: Mapping[str, Tensor]
    ) -> State | None:
        """What a tile contributes to one barrier."""
        if len(parts) < len(barrier.dims):
            return None
        own, inputs = parts[0][0], [x for _, x in parts]
        if self.mask is not None and barrier.is_per_pixel:
            chosen = covered(constants[self.mask], own, barrier.domain)
            inputs = [picked(x, dims, chosen) for x, dims in zip(inputs, barrier.dims, strict=True)]
            if not inputs[0].numel():
                return None
        return barrier.partial(inputs, own)

    def _part(self, index: int, x: Tensor, have: Box, want: Box) -> tuple[Box, Tensor] | None:
        """The tile's own pixels of one input, and where they lie."""
        spans = [span for span in want if span is not None]
        if not all(self.owns(index, span, axis) for axis, span in enumerate(spans)):
            return None
        own = tuple(self.own(index, axis, span) for axis, span in enumerate(spans))
        return own, narrow(x, self.dims[index], have, own)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return max(sizes[: len(sizes) - len(self.saves)], default=0)


@dataclass(frozen=True)
class OwnParts(Gather):
    """As Gather, but hands out what it would reduce: for each barrier a tile's own pixels of its inputs.

    Its result is a list of (own region, parts) or None for each barrier, and then the same for each saved value.
    """

    @classmethod
    def of(cls, gather: Gather) -> OwnParts:
        return cls(gather.barriers, gather.saves, gather.dims, gather.domains, gather.mask)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Any:
        del constants
        parts = [self._part(i, x, have[i], want) for i, x in enumerate(inputs)]
        found: list[tuple[Box, list[Tensor]] | None] = []
        for count in (*(len(b.dims) for b in self.barriers), *(1 for _ in self.saves)):
            mine, parts = [p for p in parts[:count] if p is not None], parts[count:]
            found.append((mine[0][0], [x for _, x in mine]) if len(mine) == count else None)
        return found


def covered(mask: Tensor, own: Box, domain: Domain) -> Tensor:
    """Which pixels of a region lie in a (y, x) mask that covers the whole grid of size `domain` in y and x."""
    where = []
    for axis, size in zip((-2, -1), mask.shape, strict=True):
        span, whole = own[axis], domain[axis]
        assert span is not None
        assert whole is not None
        # on the CPU, since some accelerators have no float64
        centres = torch.arange(span[0], span[1], dtype=torch.float64) + 0.5
        where.append((centres * size / whole).long().clamp_max(size - 1).to(mask.device))
    plane = mask[where[0][:, None], where[1]]
    depth = [span[1] - span[0] for span in own[:-2] if span is not None]
    return plane.expand(*depth, *plane.shape)


def picked(x: Tensor, dims: Dims, chosen: Tensor) -> Tensor:
    """The chosen pixels of x along its first spatial dimension, its other spatial ones being 1."""
    over = [d for d, axes in enumerate(dims) if axes]
    rest = [d for d in range(x.dim()) if d not in over]
    rows = x.permute(*over, *rest)
    found = rows[chosen.reshape(rows.shape[: len(over)])]
    found = found.reshape(len(found), *[1] * (len(over) - 1), *found.shape[1:])
    order = [*over, *rest]
    return found.permute(*(order.index(d) for d in range(x.dim())))


def _owned(edge: int, size: int, finest: int) -> int:
    """Where an edge on the finest grid lies on a grid of `size`."""
    if edge >= finest:
        return size
    factor = round(finest / size)
    near_whole = abs(finest - factor * size) < factor
    return min(edge // factor if near_whole else edge * size // finest, size)
