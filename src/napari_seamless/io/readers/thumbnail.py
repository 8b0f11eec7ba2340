"""A small picture of a whole image."""

from __future__ import annotations

import numpy as np

from napari_seamless.geometry import Grid, Interval, Region, cells_of
from napari_seamless.interfaces import Pixels, Source

READ_EDGE = 2048


def thumbnail(source: Source, edge: int) -> Pixels:
    """(c, y, x) of the whole image, neither side longer than `edge`; of a volume the middle plane.

    Of the coarsest level that is at least as large, whole squares of pixels are averaged, a part of it at a time. Any
    thread.
    """
    levels = source.info.levels
    fits = [k for k, shape in enumerate(levels.shapes) if max(shape[-2:]) >= edge]
    level = max(fits, default=0)
    *front, height, width = levels.shape(level)
    step = -(-max(height, width) // edge)
    out = np.empty((source.info.channels, -(-height // step), -(-width // step)), source.info.dtype)
    cell = max(1, READ_EDGE // step)
    grid = Grid(out.shape[1:], (cell, cell))
    middle = tuple(Interval(n // 2, n // 2 + 1) for n in front)
    for index in cells_of(Region.from_shape(grid.counts)):
        target = grid.region(index)
        under = zip(target.intervals, (height, width), strict=True)
        region = Region((*middle, *(Interval(i.lo * step, min(i.hi * step, n)) for i, n in under)))
        pixels = source.read(region, level)
        out[(slice(None), *target.slices())] = averaged(pixels.reshape(len(pixels), *pixels.shape[-2:]), step)
    return out


def averaged(pixels: Pixels, step: int) -> Pixels:
    """Means of squares of `step` pixels of (c, y, x), in its type; those at the far edges may be smaller."""
    if step == 1:
        return pixels
    sums, dtype = pixels.astype(np.float32 if pixels.dtype.itemsize < 4 else np.float64), pixels.dtype
    for axis in (1, 2):
        starts = np.arange(0, pixels.shape[axis], step)
        counts = np.diff([*starts, pixels.shape[axis]])
        shape = [1, 1, 1]
        shape[axis] = -1
        sums = np.add.reduceat(sums, starts, axis=axis) / counts.reshape(shape)
    return (sums if dtype.kind == "f" else np.rint(sums)).astype(dtype)
