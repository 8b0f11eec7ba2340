"""Exact is a claim, so it is checked: a few regions of a result are computed a second time, another way."""

from __future__ import annotations

from random import Random

import numpy as np

from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import StopFlag
from napari_seamless.runs.prepared import OutputEngine, Prepared, PreparedImage
from napari_seamless.runs.result import SelfCheck
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.store import Store
from napari_seamless.store.candidate_store import CandidateStore

CHECKS = 5
EDGE = 96
TRIES = 100
ROUNDING = (2**-9, 2**-10)
"""Relative and absolute: what may lie between two numbers that were rounded to float16."""


def self_check(
    engine: OutputEngine,
    prepared: Prepared | PreparedImage,
    store: Store,
    region: Region,
    stop: StopFlag = lambda: False,
) -> SelfCheck | None:
    """Compare CHECKS random regions, of another size and alignment than any tile, with what the store holds.

    Only what is finished is looked at; None where nothing is. The choice is seeded by the program, so that the same
    run is checked at the same places. Raises RunCancelled when `stop` says True.
    """
    draw = Random(prepared.program_hash)
    places = [place for place in (_place(region, store, draw) for _ in range(CHECKS)) if place is not None]
    if not places:
        return None
    retrying = OutOfMemoryRetry(engine)
    pairs = [(store.made(p).astype(np.float64), _again(retrying, prepared, p, stop)) for p in places]
    first, second = (np.concatenate([pair[k].ravel() for pair in pairs]) for k in range(2))
    kind = "candidates" if isinstance(store, CandidateStore) else store.made_kind
    if kind == "candidates":
        difference = (~np.isclose(first, second, *ROUNDING)).astype(np.float64)
    elif kind == "labels":
        difference = (first != second).astype(np.float64)
    else:
        difference = np.abs(first - second) / (second.std() or 1.0)
    largest, mean = float(difference.max()), float(difference.mean())
    return SelfCheck(len(places), largest, mean, kind=kind)


def _place(region: Region, store: Store, draw: Random) -> Region | None:
    """A random place all of whose chunks are finished, and have all of their pixels."""
    whole = store.whole
    for _ in range(TRIES):
        place = _anywhere(region, draw)
        if whole[store.grid.covering(place).slices()].all():
            return place
    chunks = np.argwhere(whole[store.grid.covering(region).slices()])
    if not len(chunks):
        return None
    cell = chunks[draw.randrange(len(chunks))] + store.grid.covering(region).start
    return _anywhere(store.grid.region(tuple(int(i) for i in cell)).intersect(region), draw)


def _anywhere(region: Region, draw: Random) -> Region:
    intervals = []
    for span in region.intervals:
        size = min(EDGE + draw.randrange(16), span.size)
        lo = span.lo + draw.randrange(span.size - size + 1)
        intervals.append(Interval(lo, lo + size))
    return Region(tuple(intervals))


def _again(
    engine: OutOfMemoryRetry[OutputEngine], prepared: Prepared | PreparedImage, place: Region, stop: StopFlag
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    pixels = engine.compute(engine.tile(place), lambda read: prepared.source.read(read, prepared.level), stop)
    again: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = pixels.astype(prepared.output_dtype).astype(np.float64)
    return again
