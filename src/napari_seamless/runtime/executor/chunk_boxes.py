"""Boxes of chunks in which something is to do: how a queue walks over them and cuts its pieces."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Region

Chunks = NDArray[np.bool_]


class BoxCursor:
    """Walks boxes of chunks and stays at one for as long as it holds something to do: it can give several pieces."""

    def __init__(self, boxes: Iterator[Region]) -> None:
        self._boxes = boxes
        self._here: Region | None = None

    def seek(self, todo: Chunks) -> Region | None:
        """The present box, or the next one, in which something is to do; None at the end."""
        while self._here is None or not todo[self._here.slices()].any():
            self._here = next(self._boxes, None)
            if self._here is None:
                return None
        return self._here

    def revisit(self, box: Region) -> None:
        """Come to this box next, and then go on where we were."""
        here = (self._here,) if self._here is not None else ()
        self._boxes = chain((box, *here), self._boxes)
        self._here = None

    def restart(self, boxes: Iterator[Region]) -> None:
        """Walk these instead."""
        self._boxes = boxes
        self._here = None


def tile_shape(chunks: Grid, tile: int, z: int | None) -> tuple[int, ...]:
    """The edges, (z,) y, x, of a tile of whole chunks; along an axis that is a single chunk any edge will do.

    Raises BadRequest for a tile that is not a whole number of chunks.
    """
    asked = (tile, tile) if len(chunks.cell) == 2 else (z or chunks.cell[0], tile, tile)
    for edge, chunk, count in zip(asked, chunks.cell, chunks.counts, strict=True):
        if edge < 1 or (count > 1 and edge % chunk):
            raise BadRequest(
                f"a tile must be a whole number of chunks, of {chunk} pixels along this axis; got {edge}; "
                f"use {max(1, round(edge / chunk)) * chunk}"
            )
    pairs = zip(asked, chunks.cell, chunks.counts, strict=True)
    return tuple(edge if count > 1 else chunk for edge, chunk, count in pairs)


def first_chunk(chosen: Chunks) -> Region:
    """The first True in row-major order, as a box of one."""
    return Region.of(*((int(i), int(i) + 1) for i in np.unravel_index(int(chosen.argmax()), chosen.shape)))


def first_rectangle(todo: Chunks) -> Region:
    """A box of True that starts at the first one in row-major order and grows along x, then y, then z."""
    start = first_chunk(todo).start
    stop = [i + 1 for i in start]
    for axis in reversed(range(todo.ndim)):
        while stop[axis] < todo.shape[axis]:
            ahead = [slice(a, b) for a, b in zip(start, stop, strict=True)]
            ahead[axis] = slice(stop[axis], stop[axis] + 1)
            if not todo[tuple(ahead)].all():
                break
            stop[axis] += 1
    return Region.of(*zip(start, stop, strict=True))


def pixels_in(chosen: Chunks, box: Region, chunks: Grid) -> int:
    """Pixels of the chosen chunks of a box; `chosen` covers the box, `chunks` is the grid of both."""
    total = chosen.astype(np.int64)
    for i, cell, size in reversed(list(zip(box.intervals, chunks.cell, chunks.shape, strict=True))):
        total = total @ np.diff(np.minimum(np.arange(i.lo, i.hi + 1) * cell, size))
    return int(total)
