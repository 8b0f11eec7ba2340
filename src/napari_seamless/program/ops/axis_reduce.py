"""Barriers that reduce some spatial axes and keep others: the mean of each row, the largest of each column.

A reduction over the whole plane has one number a channel. Here positions along the axes that are kept count as
channels, so that any such reduction serves; each tile knows those of its own positions only, and states are put side by
side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise, product

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State
from napari_seamless.program.ops.operation import LowPrecision
from napari_seamless.program.spans import Box, Dims, Span

Piece = tuple[tuple[Span, ...], State]
"""Spans along the kept axes, and the state of the reduction there."""


@dataclass(frozen=True)
class AxisReduction(Barrier):
    """`inner` reduces, as if the dimensions `kept` of its input were channels; each of them is one spatial axis.

    State: the pieces' spans, (pieces, 2 * kept), then the parts of each piece's own state, one piece after the other.
    Pieces do not overlap.
    """

    inner: Barrier
    kept: tuple[int, ...]

    @property
    def low_precision(self) -> LowPrecision:
        return self.inner.low_precision

    @property
    def keeps_positions(self) -> bool:
        return True

    @property
    def is_per_pixel(self) -> bool:
        return False

    @property
    def has_gradient(self) -> bool:
        return self.inner.has_gradient

    def with_gradients(self) -> AxisReduction:
        return replace(self, inner=self.inner.with_gradients())

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        return _packed([(self._spans(own), self.inner.partial(inputs, own))])

    def merge(self, a: State, b: State) -> State:
        pieces, more = _unpacked(a), _unpacked(b)
        there = {spans for spans, _ in pieces}
        pieces += more
        if not any(_overlap(spans, other) for spans, _ in more if spans not in there for other in there):
            return _packed(self._united(pieces))
        cuts = [sorted({edge for spans, _ in pieces for edge in spans[k]}) for k in range(len(self.kept))]
        return _packed(self._united([part for piece in pieces for part in self._cut(piece, cuts)]))

    def value(self, state: State, constants: Constants) -> Tensor:
        return self.inner.value(self._joined(state, state), constants)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        spans = self._spans(own)
        whole = tuple((0, self.domain[axis] or 1) for axis in self._axes)
        mine = [self._part(self._joined(state, parts), whole, spans) for parts in (state, cotangent)]
        return self.inner.pull(inputs, own, *mine)

    @property
    def _axes(self) -> tuple[int, ...]:
        return tuple(self.dims[0][d][0] for d in self.kept)

    @property
    def _places(self) -> tuple[int, ...]:
        """The kept dimensions, numbered among those that `inner` leaves."""
        left = [d for d, axes in enumerate(self.inner.dims[0]) if not axes]
        return tuple(left.index(d) for d in self.kept)

    def _spans(self, own: Box) -> tuple[Span, ...]:
        return tuple(span for span in (own[axis] for axis in self._axes) if span is not None)

    def _united(self, pieces: Sequence[Piece]) -> list[Piece]:
        """Pieces of the same positions merged."""
        found: dict[tuple[Span, ...], State] = {}
        for spans, state in pieces:
            found[spans] = self.inner.merge(found[spans], state) if spans in found else state
        return list(found.items())

    def _cut(self, piece: Piece, cuts: Sequence[Sequence[int]]) -> list[Piece]:
        """A piece taken apart at the positions `cuts` of each kept axis."""
        spans, state = piece
        each = [
            list(pairwise(edge for edge in edges if lo <= edge <= hi))
            for edges, (lo, hi) in zip(cuts, spans, strict=True)
        ]
        return [(part, self._part(state, spans, part)) for part in product(*each)]

    def _part(self, state: State, held: Sequence[Span], want: Sequence[Span]) -> State:
        """The parts of a state at the positions `want`, of those that it holds."""
        found = []
        for tensor in state:
            if tensor.dim():
                for place, (first, _), (lo, hi) in zip(self._places, held, want, strict=True):
                    tensor = tensor.narrow(place, lo - first, hi - lo)
            found.append(tensor)
        return tuple(found)

    def _joined(self, state: State, parts: State) -> State:
        """The state of the whole from `parts` that lie as those of `state` do."""
        pieces = _unpacked((state[0], *parts[1:]))
        for place, k in sorted(zip(self._places, range(len(self.kept)), strict=True)):
            lines: dict[tuple[Span, ...], list[Piece]] = {}
            for spans, own in pieces:
                lines.setdefault((*spans[:k], (0, 0), *spans[k + 1 :]), []).append((spans, own))
            pieces = [(spans, _beside(_ordered(line, k), place)) for spans, line in lines.items()]
        return pieces[0][1]


def _packed(pieces: Sequence[Piece]) -> State:
    spans = torch.tensor([[edge for span in spans for edge in span] for spans, _ in pieces], dtype=torch.float64)
    return spans, *(part for _, state in pieces for part in state)


def _unpacked(state: State) -> list[Piece]:
    rows = state[0].round().long().tolist()
    count = (len(state) - 1) // len(rows)
    return [
        (tuple(zip(row[::2], row[1::2], strict=True)), state[1 + k * count : 1 + (k + 1) * count])
        for k, row in enumerate(rows)
    ]


def _overlap(one: Sequence[Span], other: Sequence[Span]) -> bool:
    return all(max(a, c) < min(b, d) for (a, b), (c, d) in zip(one, other, strict=True))


def _ordered(pieces: Sequence[Piece], k: int) -> list[State]:
    """The states of pieces in the order in which they lie along the k-th kept axis."""
    return [state for _, state in sorted(pieces, key=lambda piece: piece[0][k])]


def _beside(states: Sequence[State], place: int) -> State:
    """Parts one after the other along a dimension; what is the same everywhere once."""
    return tuple(torch.cat(parts, place) if parts[0].dim() else parts[0] for parts in zip(*states, strict=True))


def without(dims: Dims, kept: Sequence[int]) -> Dims:
    """Dimensions of which some count as channels."""
    return tuple(() if d in kept else axes for d, axes in enumerate(dims))
