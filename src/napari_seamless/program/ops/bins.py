"""Adaptive pooling into a few large bins: each bin is a barrier of its own, and they are measured together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State, small
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Bins(Barrier):
    """Mean or largest value in each of `counts` bins a spatial dimension, which overlap where sizes do not divide.

    Bin i of n over a size s is [floor(i s / n), ceil((i + 1) s / n)), as torch has it. State: (*channels, *bins) of
    sums or maxima, and (*bins) of how many pixels were counted.
    """

    counts: tuple[int, ...]
    largest: bool = False

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        x = inputs[0]
        lead = x.shape[: x.dim() - len(self.counts)]
        empty = -torch.inf if self.largest else 0.0
        state = torch.full((*lead, *self.counts), empty, dtype=torch.float64)
        counts = torch.zeros(self.counts, dtype=torch.float64)
        for index, piece in self._pieces(x, own):
            over = tuple(range(len(lead), x.dim()))
            found = piece.amax(over) if self.largest else _sum(piece, over)
            place: tuple[Any, ...] = (..., *index)
            state[place] = small(found)
            counts[index] = prod(piece.shape[len(lead) :])
        return state, counts

    def _pieces(self, x: Tensor, own: Box) -> Iterator[tuple[tuple[int, ...], Tensor]]:
        """The part of each bin that lies in `own`."""
        first = x.dim() - len(self.counts)
        axes = [self.dims[0][first + k][0] if self.dims[0][first + k] else None for k in range(len(self.counts))]
        each: list[list[tuple[int, Span]]] = []
        for k, axis in enumerate(axes):
            held = own[axis] if axis is not None else (0, x.shape[first + k])
            size = self.domain[axis] if axis is not None else x.shape[first + k]
            assert held is not None
            assert size is not None
            each.append(list(_overlaps(held, size, self.counts[k])))
        for combination in product(*each):
            piece = x
            for k, (_, (lo, hi)) in enumerate(combination):
                piece = piece.narrow(first + k, lo, hi - lo)
            yield tuple(i for i, _ in combination), piece

    def merge(self, a: State, b: State) -> State:
        return torch.maximum(a[0], b[0]) if self.largest else a[0] + b[0], a[1] + b[1]

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        return state[0] if self.largest else state[0] / state[1]


def bins(size: int, count: int) -> list[Span]:
    """torch's bins of adaptive pooling."""
    return [(i * size // count, -(-(i + 1) * size // count)) for i in range(count)]


def _overlaps(held: Span, size: int, count: int) -> Iterator[tuple[int, Span]]:
    """Which bins a span touches, and where in the span they lie."""
    for i, (lo, hi) in enumerate(bins(size, count)):
        lo, hi = max(lo, held[0]), min(hi, held[1])
        if lo < hi:
            yield i, (lo - held[0], hi - held[0])


def _sum(piece: Tensor, over: tuple[int, ...]) -> Tensor:
    return piece.sum(over, dtype=torch.float64 if piece.device.type == "cpu" else torch.float32)
