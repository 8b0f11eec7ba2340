"""Coarser levels for an image that has none: made of its pixels when they are asked for, or in the background.

    level   0          as the file has it
            1 .. f-1   averaged on the fly from what a read needs of level 0
            f ..       kept in memory, each pixel averaged once (f is the finest level that fits)

Reads are exact and the same whenever they are made: a pixel of level k + 1 is the mean of 2 x 2 of level k, rounded,
and what is not there yet is made first. That may be all of the image, so that whoever only shows it calls
`read_preview`, which answers at once, with what is made so far and, elsewhere, a few hundred samples, blown up; a
thread makes the rest.

That thread is one of its own and no task of an executor: it belongs to a source that is looked at without any run, has
nothing to write and no order to keep, and ends with the source.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from math import prod

import numpy as np

from napari_seamless.errors import InputUnreadable
from napari_seamless.geometry import Cell, Grid, Interval, Region, cells_of, halved
from napari_seamless.interfaces import CountsReads, ImageInfo, Pixels, Reads, Source
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.derived import DerivedSource

COARSEST = 1024
CACHE_BYTES = 128 << 20
LARGEST_PREVIEW = 12 << 20
CELL = 2048
SAMPLES = 16
WIDER = {
    name: np.dtype(wider)
    for name, wider in {"b1": "u2", "u1": "u2", "i1": "i2", "u2": "u4", "i2": "i4", "f4": "f4"}.items()
}
"""Types (without byte order) that hold a sum of four; float64 for all others."""

LONGEST = 1 << 22
NEEDED = 32 << 20
"""Pixels of a coarsest level above which an image gets coarser ones."""


def with_coarser_levels(source: Source) -> Source:
    """The source itself, or with coarser levels where its coarsest is too large to be looked at whole (planes only)."""
    shape = source.info.levels.shapes[-1]
    return Coarser(source) if len(shape) == 2 and prod(shape) > NEEDED and max(shape) <= LONGEST else source


class Coarser(DerivedSource):
    """Another source with more levels. Any thread; picklable when the source is (what was made stays here)."""

    def __init__(self, source: Source, cache_bytes: int = CACHE_BYTES, cell: int = CELL) -> None:
        self._source = source
        self._settings = (cache_bytes, cell)
        info = source.info
        self._base = len(info.levels) - 1
        shapes = halved(info.levels.shapes[-1], COARSEST)
        self._info = replace(info, levels=info.levels.followed_by(shapes[1:]))
        bytes_each = info.channels * info.dtype.itemsize
        fits = [k for k, shape in enumerate(shapes) if k and prod(shape) * bytes_each <= cache_bytes]
        self._finest = min(fits, default=len(shapes) - 1)
        edge = max(1, cell >> self._finest)
        self._grid = Grid(shapes[self._finest], (edge, edge))
        self._made_levels: list[Pixels] = []
        self._made = np.zeros(self._grid.counts, bool)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._growth: threading.Thread | None = None

    @property
    def info(self) -> ImageInfo:
        return self._info

    @property
    def origin(self) -> Source:
        return self._source

    def origin_region(self, region: Region, level: int) -> tuple[Region, int]:
        """Of a level that is made here, what it is made of."""
        if level <= self._base:
            return region, level
        below = _times(region, 1 << (level - self._base))
        return below.intersect(Region.from_shape(self._info.levels.shape(self._base))), self._base

    @property
    def reads(self) -> Reads:
        return self._source.reads if isinstance(self._source, CountsReads) else Reads()

    def read(self, region: Region, level: int = 0) -> Pixels:
        """Exact; makes what is missing, which for the coarsest level is everything. Any thread."""
        require_inside(self._info.levels.shape(level), region)
        steps = level - self._base
        if steps <= 0:
            return self._source.read(region, level)
        if steps < self._finest:
            return self._averaged(region, steps)
        for index in cells_of(self._grid.covering(_times(region, 1 << (steps - self._finest)))):
            self._make(index)
        return self._copied(region, steps)

    def read_preview(self, region: Region, level: int = 0) -> Pixels:
        """At once: like `read`, but coarse or rough where that would take long. Any thread."""
        require_inside(self._info.levels.shape(level), region)
        steps = level - self._base
        if steps >= self._finest:
            return self._copied(region, steps)
        if steps <= 0 or region.size << (2 * steps) <= LARGEST_PREVIEW:
            return self.read(region, level)
        factor = 1 << (self._finest - steps)
        under = Region(tuple(Interval(i.lo // factor, -(-i.hi // factor)) for i in region.intervals))
        pixels = self._copied(under, self._finest)
        for axis, (interval, lower) in enumerate(zip(region.intervals, under.intervals, strict=True), start=1):
            pixels = pixels.take(np.arange(interval.lo, interval.hi) // factor - lower.lo, axis=axis)
        return pixels

    @property
    def overview(self) -> Pixels:
        """The coarsest level, (c, y, x), rough at first; it changes in place while the image grows."""
        return self._arrays()[-1]

    @property
    def fraction(self) -> float:
        """How much of the kept levels is made."""
        return float(self._made.mean())

    def grow(self, changed: Callable[[], None]) -> None:
        """Makes all that is kept in a thread of its own, which ends with this source. Calls `changed` from there, a few
        times a second at most, and once at the end; a second call changes nothing. Returns at once."""
        with self._lock:
            if self._growth is not None:
                return
            self._growth = threading.Thread(target=self._grow, args=(changed,), daemon=True, name="coarser levels")
        self._growth.start()

    def _grow(self, changed: Callable[[], None]) -> None:
        reported = self.fraction
        for index in cells_of(Region.from_shape(self._grid.counts)):
            if self._stopped.is_set():
                return
            try:
                self._make(index)
            except InputUnreadable:
                continue  # who reads there gets the error; the rest can still be shown
            if self.fraction - reported > 0.05:
                reported = self.fraction
                changed()
        changed()

    def _averaged(self, region: Region, steps: int) -> Pixels:
        """A region `steps` halvings above the source's coarsest level, read a part of it at a time."""
        out = np.empty((self._info.channels, *region.shape), self._info.dtype)
        edge = max(1, self._settings[1] >> steps)
        grid = Grid(self._info.levels.shape(self._base + steps), (edge, edge))
        for index in cells_of(grid.covering(region)):
            part = grid.region(index).intersect(region)
            below = _times(part, 1 << steps).intersect(Region.from_shape(self._info.levels.shape(self._base)))
            pixels = self._source.read(below, self._base)
            for _ in range(steps):
                pixels = halved_pixels(pixels)
            out[(slice(None), *part.slices(region.start))] = pixels
        return out

    def _make(self, index: Cell) -> None:
        """One cell of the finest kept level, and what lies over it in the coarser ones."""
        if self._made[index]:
            return
        kept, region = self._arrays(), self._grid.region(index)
        pixels = self._averaged(region, self._finest)
        with self._lock:
            kept[0][(slice(None), *region.slices())] = pixels
            for finer, coarser in pairwise(kept):
                region = Region(tuple(Interval(i.lo // 2, -(-i.hi // 2)) for i in region.intervals))
                under = _times(region, 2).intersect(Region.from_shape(finer.shape[1:]))
                coarser[(slice(None), *region.slices())] = halved_pixels(finer[(slice(None), *under.slices())])
            self._made[index] = True

    def _copied(self, region: Region, steps: int) -> Pixels:
        kept = self._arrays()
        with self._lock:
            return kept[steps - self._finest][(slice(None), *region.slices())].copy()

    def _arrays(self) -> list[Pixels]:
        """The kept levels, finest first; when they are made, samples fill them."""
        if not self._made_levels:
            rough = self._sampled()
            with self._lock:
                if not self._made_levels:
                    shapes = self._info.levels.shapes[self._base + self._finest :]
                    self._made_levels = [_blown_up(rough, shape) for shape in shapes]
        return self._made_levels

    def _sampled(self) -> Pixels:
        """(c, y, x): single pixels from the middles of a coarse grid; black where one cannot be read."""
        shape = self._info.levels.shape(self._base)
        counts = [min(n, SAMPLES) for n in shape]
        out = np.zeros((self._info.channels, *counts), self._info.dtype)
        for index in np.ndindex(*counts):
            at = [(2 * k + 1) * n // (2 * count) for k, n, count in zip(index, shape, counts, strict=True)]
            try:
                pixel = self._source.read(Region.of(*((a, a + 1) for a in at)), self._base)
            except InputUnreadable:
                continue
            out[(slice(None), *index)] = pixel[:, 0, 0]
        return out

    def close(self) -> None:
        """Ends the thread, and closes the source; no read may be under way."""
        self._stopped.set()
        if self._growth is not None:
            self._growth.join()
        self._source.close()

    def __reduce__(self) -> tuple[type[Coarser], tuple[Source, int, int]]:
        return Coarser, (self._source, *self._settings)


def halved_pixels(pixels: Pixels) -> Pixels:
    """Means of 2 x 2 pixels of (c, y, x), halves rounded up, in its type; an odd last row or column has fewer.

    >>> halved_pixels(np.array([[[1, 2, 9], [3, 4, 8]]]))
    array([[[3, 9]]])
    """
    height, width = pixels.shape[1:]
    even = np.pad(pixels, ((0, 0), (0, height % 2), (0, width % 2)), mode="edge") if height % 2 or width % 2 else pixels
    wide = even.astype(WIDER.get(pixels.dtype.str[1:], np.dtype(float)), copy=False)
    # rows first: adding them is plain, and half is left for the columns
    rows = wide[:, ::2] + wide[:, 1::2]
    total = rows[:, :, ::2] + rows[:, :, 1::2]
    mean: Pixels = ((total + 2) // 4 if pixels.dtype.kind in "biu" else total / 4).astype(pixels.dtype)
    return mean


def _times(region: Region, factor: int) -> Region:
    return Region(tuple(Interval(i.lo * factor, i.hi * factor) for i in region.intervals))


def _blown_up(rough: Pixels, shape: tuple[int, ...]) -> Pixels:
    for axis, size in enumerate(shape, start=1):
        rough = rough.take((2 * np.arange(size) + 1) * rough.shape[axis] // (2 * size), axis=axis)
    return rough
