"""All levels of a result in memory and on disk, kept in step while level 0 fills.

::

    committed, level 0     ──halve──> level 1 ──halve──> ... ──halve──> last level
       clean chunks (RAM)             dirty chunks (RAM)                one plain array
       on disk since `write`          on disk on eviction and flush     on disk on flush

Each level is the halved next finer level, unwritten pixels counting as 0. A committed region changes at each level the
pixels that touch it and nothing else. With chunks of 2**n its own pixels are all that is needed for n levels; further
up, the neighbours that share a coarse pixel are read again, so that the last one to be committed completes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Cell, Interval, Region, cells_of, hull_of
from napari_seamless.store.chunk_cache import CleanChunks, DirtyChunks, Key
from napari_seamless.store.downsample import halve
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.zarr_arrays import ZarrArrays

Array = NDArray[Any]

WHOLE_CHUNK_BYTES = 16 * 2**20
"""Larger chunks are read in part and not cached: a plane of a deep stack of channels must not cost all of it."""


class Pyramid:
    """The pixels of a result. `read` from any thread; everything else from the driving thread. Raises OSError.

    `finished` says which level-0 chunks are there; the coarse levels on disk belong to it if it `is_current`, else they
    may be anything until `rebuild` was called.
    `cache_bytes` bounds the memory, the `last` level (at most 64 MiB) aside, which is None in a flat result.
    """

    def __init__(
        self,
        spec: StoreSpec,
        arrays: ZarrArrays,
        finished: NDArray[np.bool_],
        cache_bytes: int,
        is_current: bool = True,
    ) -> None:
        self.spec = spec
        self._arrays = arrays
        self._shapes = spec.level_shapes
        self._grids = [spec.grid_of(level) for level in range(len(self._shapes))]
        self._present = _present(finished, len(self._shapes))
        self._clean = CleanChunks(cache_bytes * 2 // 3)
        self._dirty = DirtyChunks(cache_bytes // 3, self._save)
        self._end = len(self._shapes) - 1
        self.last = None if spec.flat else self._last_on_disk(is_current)  # (c, [z,] y, x)

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Level-0 chunks that are there; the array itself, which goes on changing."""
        return self._present[0]

    @property
    def held(self) -> list[Array]:
        """The last level as an array without an axis of channels that is none; nothing in a flat result."""
        if self.last is None:
            return []
        return [self.last if self.spec.channels is not None else self.last[0]]

    @property
    def paths(self) -> tuple[Path, ...]:
        """The folder of the arrays; none for those in memory."""
        root = getattr(self._arrays.group.store, "root", None)
        return (root,) if isinstance(root, Path) else ()

    def read(self, level: int, region: Region, channels: slice = slice(None)) -> Array:
        """(c, *region.shape), an array of its own; the region lies inside the level. No I/O for what is not there."""
        if self.last is not None and level == self._end:
            return np.asarray(self.last[(channels, *region.slices())]).copy()
        grid = self._grids[level]
        count = len(range(*channels.indices(self.spec.channels or 1)))
        pixels = np.zeros((count, *region.shape), self.spec.dtype)
        missing: list[Cell] = []
        for cell in cells_of(grid.covering(region)):
            if not self._present[level][cell]:
                continue
            chunk = self._known(level, cell)
            if chunk is None:
                missing.append(cell)
            else:
                _paste(pixels, region, chunk, grid.region(cell), channels)
        for row in _rows(missing):
            self._fetch(level, row, pixels, region, channels)
        return pixels

    def read_disk(self, region: Region) -> Array:
        """Level-0 pixels from the disk, whatever memory says: another process may have written them."""
        return self._arrays.read(0, region)

    def add(self, region: Region, pixels: Array) -> list[tuple[int, Region, Array]]:
        """Take in a level-0 region that is on disk already; what changed, one entry a level. `pixels` is kept."""
        self._keep(region, pixels)
        changed = [(0, region, pixels)]
        for level in range(1, self._end + 1):
            target = _halved(region)
            source = _doubled(target, self._shapes[level - 1])
            pixels = halve(pixels if source == region else self.read(level - 1, source), self.spec.kind)
            region = target
            self._place(level, region, pixels)
            changed.append((level, region, pixels))
        self._dirty.shrink()
        return changed

    def empty(self, cells: Sequence[Cell]) -> None:
        """Fill chunks of level 0 with 0 on disk, and count them as not there; `rebuild` makes what lies over them."""
        self._arrays.empty(cells)
        for cell in cells:
            self._clean.drop((0, cell))
            self._present[0][cell] = False

    def rebuild(self) -> None:
        """Make all coarse levels anew from the finished chunks of level 0, in memory and on disk."""
        if self.last is None:
            return
        for present in self._present[1:]:
            present[...] = False
        self.last[...] = 0
        self._arrays.drop_coarse_levels()
        for index in np.argwhere(self.finished):
            region = self._grids[0].region(tuple(map(int, index)))
            self.add(region, self.read_disk(region))
        self.flush()

    def flush(self) -> None:
        """Put every level on disk."""
        self._dirty.empty()
        if self._end and self.last is not None:
            self._arrays.write(self._end, Region.from_shape(self._shapes[-1]), self.last)

    def _last_on_disk(self, is_current: bool) -> Array:
        whole = Region.from_shape(self._shapes[-1])
        try:
            return self._arrays.read(self._end, whole)
        except (ValueError, RuntimeError):  # what codecs say of a file that they cannot read
            if is_current:
                raise
            return np.zeros((self.spec.channels or 1, *whole.shape), self.spec.dtype)

    def _known(self, level: int, cell: Cell) -> Array | None:
        chunk = self._dirty.get((level, cell))
        return self._clean.get((level, cell)) if chunk is None else chunk

    def _fetch(self, level: int, row: list[Cell], pixels: Array, region: Region, channels: slice) -> None:
        """Paste a row of chunks from disk, in one call, which is twice as quick as one by one; keep them."""
        grid = self._grids[level]
        box = hull_of([grid.region(row[0]), grid.region(row[-1])])
        if box.size * self.spec.pixel_bytes > len(row) * WHOLE_CHUNK_BYTES:
            shared = box.intersect(region)
            pixels[(slice(None), *shared.slices(region.start))] = self._arrays.read(level, shared, channels)
            return
        token = self._clean.token()
        found = self._arrays.read(level, box)
        _paste(pixels, region, found, box, channels)
        for cell in row:
            own = found[(slice(None), *grid.region(cell).slices(box.start))].copy()
            self._clean.offer((level, cell), own, token)

    def _keep(self, region: Region, pixels: Array) -> None:
        grid = self._grids[0]
        box = grid.covering(region)
        for cell in cells_of(box):
            inner = grid.region(cell)
            self._clean.put((0, cell), np.ascontiguousarray(pixels[(slice(None), *inner.slices(region.start))]))
        if not self._end and self.last is not None:
            self.last[(slice(None), *region.slices())] = pixels
        self._present[0][box.slices()] = True

    def _place(self, level: int, region: Region, pixels: Array) -> None:
        box = self._grids[level].covering(region)
        if level == self._end and self.last is not None:
            self.last[(slice(None), *region.slices())] = pixels
        else:
            for cell in cells_of(box):
                inner = self._grids[level].region(cell)
                shared = inner.intersect(region)
                target = self._open(level, cell)[(slice(None), *shared.slices(inner.start))]
                target[...] = pixels[(slice(None), *shared.slices(region.start))]
        self._present[level][box.slices()] = True

    def _open(self, level: int, cell: Cell) -> Array:
        """A coarse chunk that may be changed in place."""
        key = (level, cell)
        chunk = self._dirty.touch(key)
        if chunk is not None:
            return chunk
        inner = self._grids[level].region(cell)
        if not self._present[level][cell]:
            chunk = np.zeros((self.spec.channels or 1, *inner.shape), self.spec.dtype)
        else:
            known = self._clean.get(key)
            chunk = self._arrays.read(level, inner) if known is None else known.copy()
        self._dirty.add(key, chunk)
        self._clean.drop(key)
        return chunk

    def _save(self, key: Key, chunk: Array) -> None:
        level, cell = key
        self._arrays.write(level, self._grids[level].region(cell), chunk)
        self._clean.put(key, chunk)


def _paste(pixels: Array, region: Region, chunk: Array, where: Region, channels: slice) -> None:
    """Copy what `chunk`, which lies at `where`, shares with `pixels`, which lie at `region`."""
    shared = where.intersect(region)
    pixels[(slice(None), *shared.slices(region.start))] = chunk[(channels, *shared.slices(where.start))]


def _rows(cells: list[Cell]) -> list[list[Cell]]:
    """Runs of neighbours along x, from cells in row-major order."""
    rows: list[list[Cell]] = []
    for cell in cells:
        if rows and rows[-1][-1] == (*cell[:-1], cell[-1] - 1):
            rows[-1].append(cell)
        else:
            rows.append([cell])
    return rows


def _halved(region: Region) -> Region:
    """The pixels of the next coarser level that a region touches."""
    *front, y, x = region.intervals
    return Region((*front, *(Interval(i.lo // 2, -(-i.hi // 2)) for i in (y, x))))


def _doubled(region: Region, shape: tuple[int, ...]) -> Region:
    """The pixels of the next finer level (of this shape) that a region is made of."""
    *front, y, x = region.intervals
    pairs = zip((y, x), shape[-2:], strict=True)
    return Region((*front, *(Interval(i.lo * 2, min(i.hi * 2, n)) for i, n in pairs)))


def _present(finished: NDArray[np.bool_], levels: int) -> list[NDArray[np.bool_]]:
    """For every level, which chunks have finished level-0 chunks under them."""
    present = [finished.copy()]
    for _ in range(1, levels):
        finer = present[-1]
        *front, y, x = finer.shape
        even = np.zeros((*front, y + y % 2, x + x % 2), bool)
        even[..., :y, :x] = finer
        present.append(even[..., ::2, ::2] | even[..., 1::2, ::2] | even[..., ::2, 1::2] | even[..., 1::2, 1::2])
    return present
