"""Objects settled over chunks of candidates in any order, and painted where they are decided. One thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Cell, Grid, Interval, Region, Tile, cells_of
from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.object_table import Ints, ObjectTable, in_order
from napari_seamless.postprocess.step import Settled, TileOutput
from napari_seamless.runs.objects.plan import ObjectPlan

Chunks = NDArray[np.bool_]

CELLS_AT_ONCE = 512
"""Along each axis: larger tiles take memory, smaller ones are settled more slowly."""


@dataclass(frozen=True, eq=False)
class PaintedTile:
    """Chunks of candidates of which everything is decided: labels of their pixels, int64, and the objects that may
    have a pixel of each chunk, by rising id."""

    chunks: Region
    labels: Ints
    tables: Mapping[Cell, ObjectTable]


@dataclass
class Counts:
    """What was settled so far: objects; the most that was undecided at once, and the most bytes that it took; objects
    that were shown and taken back; and how many objects each of the step's notices is about."""

    objects: int = 0
    undecided: int = 0
    state_bytes: int = 0
    withdrawn: int = 0
    noticed: dict[str, int] = field(default_factory=dict)


class Settling:
    """`read` gives the candidates of a region of cells, (c, *region.shape); `chunks` is the grid of what is read.

    `fed` says which chunks were taken, `painted` which are decided.
    """

    def __init__(self, plan: ObjectPlan, chunks: Grid, read: Callable[[Region], Pixels]) -> None:
        self.fed, self.painted = np.zeros(chunks.counts, bool), np.zeros(chunks.counts, bool)
        self.counts = Counts(noticed=dict.fromkeys(plan.step.notices, 0))
        self._plan, self._grid, self._read = plan, chunks, read
        self._domain = plan.domain
        self._settler = plan.step.begin(self._domain)
        self._waiting = ObjectTable.empty(len(plan.shape))
        self.provisional = self._waiting
        """Objects that nothing read so far speaks against, and something unread may; replaced, never changed."""

    def feed(self, chunks: Region) -> Iterator[PaintedTile]:
        """Take chunks, none of which were taken before. Raises BadRequest for numbers that are none."""
        cells = self._grid.pixels(chunks)
        tile = self._plan.labels_of(cells)
        given = TileOutput(self._domain, Tile(tile, tile), self._read(cells))
        self.fed[chunks.slices()] = True
        yield from self._painted(self._settler.settle(self._plan.step.propose(given)))

    def flush(self) -> Iterator[PaintedTile]:
        """Nothing else comes."""
        yield from self._painted(self._settler.flush())

    def _painted(self, settled: Settled) -> Iterator[PaintedTile]:
        self._count(settled)
        self._waiting = in_order([self._waiting, settled.objects], len(self._plan.shape))
        for objects in settled.paintable:
            chunks = self._grid.covering(self._plan.cells_of(objects.tile))
            self.painted[chunks.slices()] = True
            tables = {cell: self._objects_in(cell) for cell in cells_of(chunks)}
            yield PaintedTile(chunks, self._plan.step.paint(objects, None), tables)
        self._waiting = self._waiting.take(self._waits(self._waiting))

    def _objects_in(self, chunk: Cell) -> ObjectTable:
        """Those that may have a pixel of a chunk."""
        tile = self._plan.labels_of(self._grid.region(chunk))
        touches = (self._waiting.low < tile.stop) & (self._waiting.high > tile.start)
        return self._waiting.take(np.asarray(touches.all(axis=1)))

    def _waits(self, objects: ObjectTable) -> NDArray[np.bool_]:
        """Which of them may have a pixel of a chunk that is not painted."""
        counts = np.pad((~self.painted).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
        side = np.array(self._grid.cell) * self._plan.step.grid
        (top, left), (bottom, right) = (objects.low // side).T, (-(-objects.high // side)).T
        inside = counts[bottom, right] - counts[top, right] - counts[bottom, left] + counts[top, left]
        return np.asarray(inside > 0)

    def _count(self, settled: Settled) -> None:
        counts = self.counts
        counts.objects += len(settled.objects)
        counts.withdrawn += len(settled.withdrawn)
        counts.undecided = max(counts.undecided, self._settler.undecided)
        counts.state_bytes = max(counts.state_bytes, self._settler.state_bytes)
        for name in counts.noticed:
            counts.noticed[name] += int(settled.objects.extra[name].sum()) if len(settled.objects) else 0
        gone = np.concatenate([settled.withdrawn, settled.objects.id, settled.provisional.id])
        still = self.provisional.take(~np.isin(self.provisional.id, gone))
        self.provisional = in_order([still, settled.provisional], len(self._plan.shape))


def around(chunks: Chunks, ring: tuple[int, ...]) -> Chunks:
    """These chunks, and those at most so many further on, one number an axis."""
    wide = chunks.copy()
    for axis, reach in enumerate(ring):
        grown = wide.copy()
        for step in range(1, min(reach, wide.shape[axis] - 1) + 1):
            low = tuple(slice(None, -step) if k == axis else slice(None) for k in range(wide.ndim))
            high = tuple(slice(step, None) if k == axis else slice(None) for k in range(wide.ndim))
            grown[high] |= wide[low]
            grown[low] |= wide[high]
        wide = grown
    return wide


def boxes_of_chunks(chunks: Chunks, grid: Grid) -> Iterator[Region]:
    """Chunks of a grid as boxes, in raster order: few, and not too large to be read at once."""
    down, along = (max(1, CELLS_AT_ONCE // size) for size in grid.cell)
    left = chunks.copy()
    for y, x in np.argwhere(chunks):
        if not left[y, x]:
            continue
        width = _run(left[y, x : x + along])
        rows = np.asarray(left[y : y + down, x : x + width].all(axis=1))
        box = Region((Interval(int(y), int(y) + _run(rows)), Interval(int(x), int(x) + width)))
        left[box.slices()] = False
        yield box


def _run(flags: NDArray[np.bool_]) -> int:
    """How many are set from the first on."""
    return len(flags) if flags.all() else int(np.argmin(flags))
