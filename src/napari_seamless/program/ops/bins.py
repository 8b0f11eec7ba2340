"""Adaptive pooling into a few large bins: each bin is a barrier of its own, and they are measured together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State, small
from napari_seamless.program.ops.extremum import extremum
from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.places import Axes, globally, locally
from napari_seamless.program.ops.reduce import common, mean
from napari_seamless.program.ops.request import (
    Built,
    Request,
    Unsupported,
)
from napari_seamless.program.spans import Box, Dims, Span

MOST_BINS = 1 << 14


@dataclass(frozen=True)
class Bins(Barrier):
    """Mean or largest value in each of `counts` bins a spatial dimension, which overlap where sizes do not divide.

    Bin i of n over a size s is [floor(i s / n), ceil((i + 1) s / n)), as torch has it. State: (*channels, *bins) of
    sums or maxima, and (*bins) of how many pixels were counted. With `tracks_gradients` also the place of
    the first maximum, to which torch gives all of it.
    """

    counts: tuple[int, ...]
    largest: bool = False
    tracks_gradients: bool = False

    def with_gradients(self) -> Bins:
        return replace(self, tracks_gradients=self.largest)

    @property
    def is_per_pixel(self) -> bool:
        return False

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        x = inputs[0]
        lead = x.shape[: x.dim() - len(self.counts)]
        empty = -torch.inf if self.largest else 0.0
        state = torch.full((*lead, *self.counts), empty, dtype=torch.float64)
        counts = torch.zeros(self.counts, dtype=torch.float64)
        firsts = torch.full_like(state, torch.inf) if self.tracks_gradients else None
        for index, piece, axes in self._pieces(x, own):
            place: tuple[Any, ...] = (..., *index)
            rows = piece.flatten(len(lead))
            if firsts is not None:
                found, where = rows.max(-1)
                firsts[place] = small(globally(where, axes))
            else:
                found = rows.amax(-1) if self.largest else _sum(rows)
            state[place] = small(found)
            counts[index] = rows.shape[-1]
        return (state, counts) if firsts is None else (state, counts, firsts)

    def _pieces(self, x: Tensor, own: Box) -> Iterator[tuple[tuple[int, ...], Tensor, Axes]]:
        """The part of each bin that lies in `own`: the bin, its pixels (a view of x), and where they lie."""
        first = x.dim() - len(self.counts)
        axes = [self.dims[0][first + k][0] if self.dims[0][first + k] else None for k in range(len(self.counts))]
        each: list[list[tuple[int, Span]]] = []
        whole: list[tuple[Span, int]] = []
        for k, axis in enumerate(axes):
            held = own[axis] if axis is not None else (0, x.shape[first + k])
            size = self.domain[axis] if axis is not None else x.shape[first + k]
            assert held is not None
            assert size is not None
            each.append(list(_overlaps(held, size, self.counts[k])))
            whole.append((held, size))
        for combination in product(*each):
            piece, where = x, []
            for k, (_, (lo, hi)) in enumerate(combination):
                piece = piece.narrow(first + k, lo, hi - lo)
                (start, _), size = whole[k]
                where.append(((start + lo, start + hi), size))
            yield tuple(i for i, _ in combination), piece, where

    def merge(self, a: State, b: State) -> State:
        if not self.largest:
            return a[0] + b[0], a[1] + b[1]
        best = torch.maximum(a[0], b[0])
        if not self.tracks_gradients:
            return best, a[1] + b[1]
        places = (torch.where(s[0] == best, s[2], torch.inf) for s in (a, b))
        return best, a[1] + b[1], torch.minimum(*places)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        x = inputs[0]
        found = torch.zeros_like(x)
        given = cotangent[0].to(x.dtype).to(x.device)
        for index, part, axes in self._pieces(found, own):
            place: tuple[Any, ...] = (..., *index)
            share = given[place].reshape(*part.shape[: -len(self.counts)], *(1 for _ in self.counts))
            part += self._is_first(part, state[2][place], axes) * share if self.largest else share
        return (found,)

    def _is_first(self, part: Tensor, place: Tensor, axes: Axes) -> Tensor:
        """Which pixel of a bin is the first maximum: 1 there and 0 elsewhere."""
        where, inside = locally(place.long(), axes)
        rows = torch.zeros_like(part, memory_format=torch.contiguous_format).flatten(part.dim() - len(self.counts))
        rows.scatter_(-1, where.to(part.device)[..., None], inside.to(part.dtype).to(part.device)[..., None])
        return rows.reshape(part.shape)

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


def _sum(rows: Tensor) -> Tensor:
    return rows.sum(-1, dtype=torch.float64 if rows.device.type == "cpu" else torch.float32)


def binned(request: Request, rank: int, *, largest: bool) -> Built:
    """Adaptive pooling into large bins."""
    image = request.image()
    if request.part == 1:
        raise Unsupported("it uses the positions of the maxima")
    dims: Dims = image.value.dims
    counts = request.shape[-rank:]
    if any(axes for axes in dims[:-rank]):
        raise Unsupported("it pools some spatial axes and not others")
    if not any(dims):
        return stored(request, dims)
    if prod(counts) > MOST_BINS:
        raise Unsupported(f"it pools the plane into {prod(counts)} bins; at most {MOST_BINS} are measured")
    if all(n == 1 for n in counts) and all(dims[-rank:]):
        make = extremum(True, first=True) if largest else mean
        return Built(make(request, image, ()), (image,), dims)
    return Built(Bins(**common(request, image), counts=counts, largest=largest), (image,), dims)
