"""Exact is a claim, so it is checked: a few regions of a result are computed a second time, another way."""

from __future__ import annotations

from random import Random

import numpy as np

from napari_seamless.engine import TorchEngine
from napari_seamless.geometry import Interval, Region
from napari_seamless.pipeline.preparing import Prepared
from napari_seamless.pipeline.result import SelfCheck
from napari_seamless.store import Store

CHECKS = 5
EDGE = 96


def self_check(engine: TorchEngine, prepared: Prepared, store: Store, region: Region) -> SelfCheck:
    """Compare CHECKS random regions, of another size and alignment than any tile, with what the store holds.

    The choice is seeded by the program, so that the same run is checked at the same places.
    """
    draw = Random(prepared.program_hash)
    places = [_place(region, draw) for _ in range(CHECKS)]
    pairs = [(store.read(p).astype(np.float64), _again(engine, prepared, p)) for p in places]
    first, second = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in range(2))
    if store.kind == "labels":
        difference = (first != second).astype(np.float64)
    else:
        difference = np.abs(first - second) / (second.std() or 1.0)
    precision = str(engine.dtype).removeprefix("torch.")
    return SelfCheck(CHECKS, float(difference.max()), float(difference.mean()), precision, tf32=False)


def _place(region: Region, draw: Random) -> Region:
    intervals = []
    for span in region.intervals:
        size = min(EDGE + draw.randrange(16), span.size)
        lo = span.lo + draw.randrange(span.size - size + 1)
        intervals.append(Interval(lo, lo + size))
    return Region(tuple(intervals))


def _again(engine: TorchEngine, prepared: Prepared, place: Region) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    pixels = engine.compute(engine.tile(place), lambda read: prepared.source.read(read, prepared.level), lambda: False)
    again: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = pixels.astype(prepared.output_dtype).astype(np.float64)
    return again
