"""What is left to make, kept per chunk and asked for one tile at a time.

The unit of completion is the store's chunk, the unit of work is the tile, a cell of a coarser grid anchored at zero
whose edge is a whole number of chunks. Because only chunks are remembered, the tile edge may change at any moment:
what is done stays done, and the new tiles only hold what is left::

    chunks      # done   . to do   ~ in flight

    # # . .     A tile of 4 x 4 chunks, of which some were made with smaller tiles before. `take` gives
    # # . .     the rectangle of 4 x 2 chunks on the right, which grew from the first chunk to do along x
    . . . .     and then along y, and next the 1 x 2 on the left: disjoint rectangles of chunks to do,
    ~ ~ . .     until the tile holds none.

What a new view gives first is a single chunk, the one nearest its centre: it is on screen sooner than a whole tile.

Two cursors walk the tiles: the near one over the view and its surroundings, begun anew at every retarget, and the
far one over everything, which is not, so that a pan never walks again over thousands of finished tiles. A retarget
only leaves a request, which the next `take` applies: it returns at once even while `take` walks over what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from threading import Lock

import numpy as np

from napari_seamless.errors import BadRequest, RegionUnreadable
from napari_seamless.geometry import Cell, Grid, Interval, Region, hull_of
from napari_seamless.runtime.executor.chunk_boxes import (
    BoxCursor,
    Chunks,
    first_chunk,
    first_rectangle,
    pixels_in,
    tile_shape,
)

Order = Callable[[Grid, Region, Region | None, bool], Iterator[Cell]]

NEAREST = 64
"""Where so many chunks about the centre of a view are done, its first tile need not be cut small to be soon."""


class ViewFirstQueue:
    """The tiles still to do; implements `interfaces.TileQueue`. Every method may be called from any thread.

    `chunks` is the store's chunk grid over the output, `wanted` the output pixels asked for, rounded out to whole
    chunks. `finished` says for each chunk, shape `chunks.counts`, whether it is done already; it is copied.
    `order(grid, wanted, view, whole)` yields the cells of a grid in the order to make them; without a view and with
    `whole` it gives all of them. `tile` is the edge in y and x, `z` that in z (default: one chunk), in output
    pixels and whole chunks. Without `whole` only the view and its surroundings are made. `only` says which chunks are
    asked for at all (default: every one that is wanted).

    Raises BadRequest for a tile that is not a whole number of chunks, and for a `finished` of another shape.
    """

    def __init__(
        self,
        chunks: Grid,
        wanted: Region,
        finished: Chunks,
        order: Order,
        tile: int,
        *,
        z: int | None = None,
        view: Region | None = None,
        whole: bool = True,
        only: Chunks | None = None,
    ) -> None:
        if finished.shape != chunks.counts:
            raise BadRequest(
                f"finished chunks must be given for the whole chunk grid, {chunks.counts}; got shape {finished.shape}; "
                "make the array from the same grid"
            )
        self._chunks = chunks
        self._box = chunks.covering(wanted)
        self._wanted = chunks.pixels(self._box)
        self._order = order
        self._whole = whole
        self._done = np.array(finished, dtype=bool)
        self._todo = np.zeros(chunks.counts, dtype=bool)
        inside = self._box.slices()
        self._only = np.ones(chunks.counts, bool) if only is None else only
        self._todo[inside] = ~self._done[inside] & self._only[inside]
        self._single = np.zeros(chunks.counts, dtype=bool)
        self._failed: list[Region] = []
        self._taken: set[Region] = set()
        self._lock = Lock()
        self._request = _Request(view, tile_shape(chunks, tile, z))
        self._requesting = Lock()
        self._current = self._request
        self._is_new_view = view is not None
        self._counts = self._count(self._box) if whole else None
        self._rewind()

    @property
    def revision(self) -> int:
        """How often the order was changed from outside (retarget, tile size)."""
        return self._request.revision

    @property
    def tile(self) -> tuple[int, ...]:
        """The present tile's edges in output pixels, in (z,) y, x order."""
        return self._request.tile

    @property
    def wanted(self) -> Region:
        """The output pixels that this queue is about: what was asked for, rounded out to whole chunks."""
        return self._wanted

    @property
    def in_work(self) -> tuple[Region, ...]:
        """The output pixels that were taken and have not come back."""
        with self._lock:
            return tuple(self._taken)

    @property
    def failed(self) -> tuple[Region, ...]:
        """The output pixels that cannot be made, in whole chunks."""
        return tuple(self._failed)

    @property
    def failed_pixels(self) -> int:
        """How many those are."""
        return sum(region.size for region in self._failed)

    @property
    def is_finished(self) -> bool:
        """Nothing is in flight and nothing is left to start (for the present view, without `whole`)."""
        with self._lock:
            return not self._taken and self._seek() is None

    @property
    def counts(self) -> tuple[int, int]:
        """Output pixels (done, total) of what is asked for: all that is wanted, or the view and its surroundings."""
        if self._whole and self._counts:
            return self._counts
        with self._lock:
            self._apply_request()
            if self._counts is None:
                self._counts = self._count(hull_of((_nowhere(self._box.ndim), *self._near_boxes())))
            return self._counts

    def take(self) -> Region | None:
        """The output pixels of the next piece of work: whole chunks, cut only at the image's edge."""
        with self._lock:
            box = self._seek()
            if box is None:
                return None
            piece = self._nearest_chunk() or self._piece(box)
            self._todo[piece.slices()] = False
            write = self._chunks.pixels(piece)
            self._taken.add(write)
            return write

    def done(self, write: Region) -> None:
        """What `take` gave is written, and will not be given again."""
        with self._lock:
            self._done[self._return(write).slices()] = True
            done, total = self._counts or (0, 0)
            self._counts = (done + write.size, total) if self._whole else None

    def give_back(self, write: Region) -> None:
        """What `take` gave was not written; it will be given again, soon."""
        with self._lock:
            self._requeue(self._return(write))

    def fail(self, write: Region, error: RegionUnreadable) -> None:  # noqa: ARG002 - the caller's to tell
        """What `take` gave cannot be made. Its chunks are given once more, each by itself; one that was is given up."""
        with self._lock:
            box = self._return(write)
            if box.size == 1:
                self._failed.append(write)
            else:
                self._single[box.slices()] = True
                self._requeue(box)

    def _requeue(self, box: Region) -> None:
        self._todo[box.slices()] = True
        self._near.restart(self._near_boxes())
        if self._whole:
            self._far.revisit(box)

    def _piece(self, box: Region) -> Region:
        """Of a tile's box of chunks the next ones to do."""
        todo, single = self._todo[box.slices()], self._single[box.slices()]
        if (todo & single).any():
            return first_chunk(todo & single).shift(box.start)
        return first_rectangle(todo).shift(box.start)

    def is_preempted(self, write: Region) -> bool:
        """Whether `write`, which was taken, is not on screen while something that is waits to be started."""
        view = self._request.view
        if view is None:
            return False
        seen = self._seen(view)
        if self._chunks.covering(write).overlaps(seen):
            return False
        with self._lock:
            return bool(self._todo[seen.slices()].any())

    def add(self, more: Chunks) -> None:
        """Ask for more chunks, of shape `chunks.counts`, inside of what is wanted."""
        with self._lock:
            wanted = np.zeros_like(self._only)
            wanted[self._box.slices()] = True
            fresh = more & wanted & ~self._only
            self._only = self._only | fresh
            self._todo |= fresh & ~self._done
            self._counts = self._count(self._box) if self._whole else None
            self._rewind()
        with self._requesting:
            self._request = replace(self._request, revision=self._request.revision + 1)

    def retarget(self, view: Region | None) -> None:
        """Make what `view` (output pixels) shows before everything else."""
        with self._requesting:
            self._request = self._request.changed(view, self._request.tile)

    def set_tile(self, tile: int, z: int | None = None) -> None:
        """Use another tile edge from the next tile on. Raises BadRequest unless it is a whole number of chunks."""
        with self._requesting:
            before = self._request
            shape = tile_shape(self._chunks, tile, z or (before.tile[0] if len(before.tile) == 3 else None))
            self._request = before.changed(before.view, shape)

    def _apply_request(self) -> None:
        """Begin anew what the latest request changed."""
        before, self._current = self._current, self._request
        if self._current == before:
            return
        if not self._whole:
            self._counts = None
        if self._current.view != before.view:
            self._is_new_view = self._current.view is not None
        if self._current.tile != before.tile:
            self._rewind()
        else:
            self._near.restart(self._near_boxes())

    def _rewind(self) -> None:
        self._near = BoxCursor(self._near_boxes())
        self._far = BoxCursor(self._boxes(None, whole=self._whole))

    def _near_boxes(self) -> Iterator[Region]:
        return self._boxes(self._current.view, whole=False)

    def _boxes(self, view: Region | None, *, whole: bool) -> Iterator[Region]:
        """The wanted chunks of each tile, as boxes of chunk indices."""
        tiles = Grid(self._chunks.shape, self._current.tile)
        per_tile = tuple(-(-t // c) for t, c in zip(tiles.cell, self._chunks.cell, strict=True))
        for cell in self._order(tiles, self._wanted, view, whole):
            spans = zip(cell, per_tile, self._box.intervals, strict=True)
            yield Region(tuple(Interval(max(i * n, b.lo), min((i + 1) * n, b.hi)) for i, n, b in spans))

    def _seek(self) -> Region | None:
        """The next tile's box of chunks that holds something to do."""
        self._apply_request()
        return self._near.seek(self._todo) or self._far.seek(self._todo)

    def _seen(self, view: Region) -> Region:
        """The wanted chunks that a view shows, as a box of chunk indices."""
        return self._chunks.covering(view.intersect(self._wanted))

    def _nearest_chunk(self) -> Region | None:
        """Of a new view the chunk to do that is nearest its centre; None where there is none, or at the next call."""
        view, is_new = self._current.view, self._is_new_view
        self._is_new_view = False
        if view is None or not is_new:
            return None
        seen = self._seen(view)
        for cell in islice(self._order(self._chunks, self._wanted, view, False), NEAREST):
            box = Region.of(*((i, i + 1) for i in cell))
            if self._todo[cell] and box.overlaps(seen):
                return box
        return None

    def _count(self, box: Region) -> tuple[int, int]:
        """Output pixels (done, in all) of a box of chunks, as far as they are asked for."""
        asked = self._only[box.slices()]
        done = self._done[box.slices()] & asked
        return pixels_in(done, box, self._chunks), pixels_in(asked, box, self._chunks)

    def _return(self, write: Region) -> Region:
        if write not in self._taken:
            raise BadRequest(f"only a region that was taken can be done or given back, once; got {write!r}")
        self._taken.remove(write)
        return self._chunks.covering(write)


@dataclass(frozen=True)
class _Request:
    """What was asked for from outside, and how often it changed."""

    view: Region | None
    tile: tuple[int, ...]
    revision: int = 0

    def changed(self, view: Region | None, tile: tuple[int, ...]) -> _Request:
        is_same = (view, tile) == (self.view, self.tile)
        return self if is_same else _Request(view, tile, self.revision + 1)


def _nowhere(ndim: int) -> Region:
    return Region.from_shape((0,) * ndim)
