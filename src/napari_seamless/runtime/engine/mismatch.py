"""How far from seamless: what two overlapping input tiles make of the same pixels, before they are blended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.runtime.engine.blended import BlendedEngine, Index

PLACES = 4
Samples = NDArray[np.float64]


@dataclass(frozen=True)
class Mismatch:
    """How neighbouring tiles differ in the middle of what they share, at `places` random places.

    For images `rms` and `largest` are in standard deviations of the output (each channel's own). For `labels` they are
    shares of differing pixels, over all places and at the worst one.
    """

    places: int
    rms: float
    largest: float
    labels: bool

    def __str__(self) -> str:
        if self.labels:
            return (
                f"neighbouring tiles disagree on {self.rms:.1%} of the pixels (at the worst place {self.largest:.1%})"
            )
        return f"neighbouring tiles differ by {self.rms:.2g} sd on average (at most {self.largest:.2g})"


def measure_mismatch(
    engine: BlendedEngine,
    read: Callable[[Region], Pixels],
    within: Region | None = None,
    *,
    places: int = PLACES,
    seed: int = 0,
) -> Mismatch | None:
    """Compute neighbouring tiles at random places, of those that make `within` (default: all); two tiles a place.

    None where no two tiles overlap, as in an image that is one tile. Raises what `read` does.
    """
    ranges = engine.indices(within or Region.from_shape(engine.output_shape))
    drawn = list(_pairs(engine, ranges, Random(seed), places))
    if not drawn:
        return None
    pairs = [_pair(engine, read, *pair) for pair in drawn]
    if engine.labels:
        shares = [float((first != second).mean()) for first, second in pairs]
        return Mismatch(len(pairs), float(np.mean(shares)), max(shares), True)
    spread = np.concatenate([first for first, _ in pairs], axis=1).std(axis=1, keepdims=True)
    spread[spread == 0] = 1
    apart = np.concatenate([np.abs(first - second) for first, second in pairs], axis=1) / spread
    return Mismatch(len(pairs), float(np.sqrt((apart**2).mean())), float(apart.max()), False)


def _pairs(engine: BlendedEngine, ranges: list[range], draw: Random, places: int) -> Iterator[tuple[Index, Index, int]]:
    """Tiles, their next neighbours, and the axis along which these lie."""
    axes = [k for k, indices in enumerate(ranges) if len(indices) > 1 and _shares(engine, k)]
    for number in range(places if axes else 0):
        axis = axes[number % len(axes)]
        index = [draw.choice(indices) for indices in ranges]
        index[axis] = draw.choice(ranges[axis][:-1])
        yield tuple(index), (*index[:axis], index[axis] + 1, *index[axis + 1 :]), axis


def _shares(engine: BlendedEngine, axis: int) -> bool:
    tiles = engine.axes[axis]
    return tiles.step < tiles.edge


def _pair(
    engine: BlendedEngine, read: Callable[[Region], Pixels], first: Index, second: Index, axis: int
) -> tuple[Samples, Samples]:
    """The same pixels, (c, n), from both: the middle third of what they share, and half of the tile across."""
    shared = engine.makes(first).intersect(engine.makes(second)).intersect(Region.from_shape(engine.output_shape))
    spans = [_middle(span, 3 if k == axis else 2) for k, span in enumerate(shared.intervals)]
    place = Region(tuple(spans))

    def out(index: Index) -> Samples:
        pixels = engine.tile_output(index, read)[(slice(None), *place.slices(engine.makes(index).start))]
        return pixels.reshape(len(pixels), -1).astype(np.float64)

    return out(first), out(second)


def _middle(span: Interval, part: int) -> Interval:
    """One of `part` parts of an interval, in its middle; at least one pixel."""
    size = max(span.size // part, 1)
    lo = span.lo + (span.size - size) // 2
    return Interval(lo, lo + size)
