"""The zarr arrays of a result, and how the disk says no."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, ZstdCodec

from napari_seamless.durable_files import sync_files
from napari_seamless.errors import OutputUnwritable, SeamlessError
from napari_seamless.geometry import Cell, Region, cells_of
from napari_seamless.io.blosc_frames import with_whole_frames
from napari_seamless.store.disk_store import DiskStore
from napari_seamless.store.fence import Fence
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.spec import StoreSpec

Array = NDArray[Any]


@contextmanager
def disk_errors(place: object) -> Iterator[None]:
    """Turn what the operating system refuses into OutputUnwritable, with one sentence for the user."""
    try:
        yield
    except SeamlessError:
        raise
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            what = "the disk is full"
            todo = "free some space and run the same command again: what is finished is kept"
        else:
            what = error.strerror or str(error) or type(error).__name__
            todo = "choose another output path, or change its permissions"
        raise OutputUnwritable(f"the result must be written to {place}, but {what}; {todo}") from error


def create_arrays(target: ZarrStore | Path, spec: StoreSpec, groups: Mapping[str, Mapping[str, Any]]) -> ZarrArrays:
    """An empty result: its groups with their attributes, one array a level. Raises OSError."""
    group = zarr.create_group(target, zarr_format=3, attributes=dict(groups[""]))
    for path, attributes in groups.items():
        if path:
            group.create_group(path, attributes=dict(attributes))
    dimensions = (*("c" for _ in spec.channel_axis), *"zyx"[-len(spec.shape) :])
    for level in range(len(spec.level_shapes)):
        group.create_array(
            f"{spec.folder}{level}",
            shape=spec.stored_shape(level),
            chunks=spec.stored_chunk,
            shards=spec.stored_shard(level),
            dtype=spec.dtype,
            compressors=[_codec(spec)],
            fill_value=0,
            dimension_names=dimensions,
        )
    return ZarrArrays(group, spec)


def open_arrays(path: Path, spec: StoreSpec) -> ZarrArrays:
    """Those of a result on disk. Raises OSError, and KeyError or ValueError where there is no array for every level."""
    return ZarrArrays(zarr.open_group(DiskStore(path), mode="r+", zarr_format=3), spec)


def _codec(spec: StoreSpec) -> ZstdCodec | BloscCodec:
    """zstd for labels (a third of lz4's size); shuffled lz4 for images (a third quicker to write, 4 x to read), and
    zstd for flat ones, which nobody waits for (three quarters of the size)."""
    if spec.kind == "labels":
        return ZstdCodec(level=1)
    if spec.flat:
        return BloscCodec(cname="zstd", shuffle="shuffle", clevel=1, typesize=spec.dtype.itemsize)
    return BloscCodec(cname="lz4", shuffle="shuffle", clevel=5, typesize=spec.dtype.itemsize)


class ZarrArrays:
    """Reads and writes whole chunks, always with a channel axis in memory: (c, [z,] y, x).

    Any thread or process, as long as each chunk has one writer at a time. Methods raise OSError.
    """

    def __init__(self, group: zarr.Group, spec: StoreSpec) -> None:
        self.group = group
        self._spec = spec
        levels = range(len(spec.level_shapes))
        plain = [group[f"{spec.folder}{level}"] for level in levels]
        arrays = [with_whole_frames(array) for array in plain if isinstance(array, zarr.Array)]
        # zarr compares every chunk with the fill value unless told not to, which costs more than the codec
        self._full = [array.with_config({"write_empty_chunks": True}) for array in arrays]
        self._empty = [array.with_config({"write_empty_chunks": False}) for array in arrays]

        self._unsynced: set[str] = set()
        self._lock = Lock()

    @property
    def place(self) -> DiskStore | None:
        """Where they lie; None where that is no disk of ours."""
        place = self.group.store_path.store
        return place if isinstance(place, DiskStore) else None

    def raise_fence(self, name: object) -> None:
        """Let nobody else write chunks from now on; `name` is what errors call the result. Whoever calls it has the
        lock of the result. Raises OSError."""
        place = self.place
        if place is not None:
            place.fence = Fence.raised(place.root / f"{self._spec.folder}0" / FOLDER, name)

    @property
    def fence(self) -> Fence | None:
        """What chunks are written under; None where nobody has the right to."""
        return None if self.place is None else self.place.fence

    def end_fence(self) -> None:
        """Let nobody write chunks any more who was handed the fence."""
        if self.place is not None:
            self.place.end_fence()

    def sizes(self, region: Region) -> tuple[int, ...]:
        """The bytes on disk of each chunk (or shard) of a region of level 0, which are to be synced; none in memory."""
        place = self.place
        if place is None:
            return ()
        files = [self._files(0, cell) for cell in cells_of(self._spec.grid.covering(region))]
        sizes = [{file: _size(file) for file in paths} for paths in files]
        with self._lock:
            self._unsynced.update(file for found in sizes for file in found)
        return tuple(sum(found.values()) for found in sizes)

    def sync(self) -> None:
        """Put on the disk what `write` wrote of coarse levels, and what `sizes` was asked about. Driving thread."""
        place = self.place
        with self._lock:
            files, self._unsynced = self._unsynced, set()
        if place is not None and files:
            try:
                sync_files(files, str(place.root / self._spec.folder.rstrip("/")))
            except OSError:
                with self._lock:
                    self._unsynced |= files
                raise

    def sizes_on_disk(self, level: int) -> NDArray[np.int64]:
        """The bytes of each chunk (or shard) of a level, on its grid."""
        found = np.zeros(self._spec.grid_of(level).counts, np.int64)
        place = self.place
        if place is not None:
            for cell, size in _walk(str(place.root / f"{self._spec.folder}{level}" / "c"), ()):
                inner = cell[len(self._spec.channel_axis) :]
                if len(inner) == found.ndim and all(k < n for k, n in zip(inner, found.shape, strict=True)):
                    found[inner] += size
        return found

    def coarse_bytes(self) -> int:
        """The bytes of the chunks of all levels but the finest."""
        return sum(int(self.sizes_on_disk(level).sum()) for level in range(1, len(self._spec.level_shapes)))

    def _files(self, level: int, cell: Cell) -> list[str]:
        """The files of a chunk, which has one for each channel where those do not share one."""
        spec, place = self._spec, self.place
        assert place is not None
        array = os.path.join(place.root, f"{spec.folder}{level}", "c")
        joint = spec.stored_chunk[: len(spec.channel_axis)]
        leads: list[tuple[str, ...]] = [
            (str(k),) for size, each in zip(spec.channel_axis, joint, strict=True) for k in range(size // each)
        ]
        return [os.path.join(array, *lead, *map(str, cell)) for lead in leads or [()]]

    def read(self, level: int, region: Region, channels: slice = slice(None)) -> Array:
        """A region of a level, (c, *region.shape), an array of its own."""
        if self._spec.channels is None:
            return np.asarray(self._full[level][region.slices()])[None]
        return np.asarray(self._full[level][(channels, *region.slices())])

    def write(self, level: int, region: Region, pixels: Array) -> None:
        """Whole chunks. A chunk of zeros takes no file, and removes the one that may be there."""
        grid = self._spec.grid_of(level)
        if level and self.place is not None:
            cells = cells_of(grid.covering(region))
            with self._lock:
                self._unsynced.update(file for cell in cells for file in self._files(level, cell))
        inner = [grid.region(cell) for cell in cells_of(grid.covering(region))]
        parts = [(part, pixels[(slice(None), *part.slices(region.start))]) for part in inner]
        if all(values.any() for _, values in parts):
            self._put(self._full[level], region, pixels)
            return
        for part, values in parts:
            self._put((self._full if values.any() else self._empty)[level], part, values)

    def empty(self, cells: Iterable[Cell]) -> None:
        """Make chunks (or shards) of level 0 all 0, whatever their files hold: those may be unreadable."""
        for cell in cells:
            if self.place is None:
                region = self._spec.grid.region(cell)
                self.write(0, region, np.zeros((self._spec.channels or 1, *region.shape), self._spec.dtype))
            else:
                for file in self._files(0, cell):
                    Path(file).unlink(missing_ok=True)

    def drop_coarse_levels(self) -> None:
        """Remove what the disk has of all levels but the finest: it may be unreadable, and zarr reads shards that it
        writes in part."""
        if self.place is not None:
            for level in range(1, len(self._spec.level_shapes)):
                shutil.rmtree(self.place.root / f"{self._spec.folder}{level}" / "c", ignore_errors=True)

    def _put(self, array: zarr.Array[Any], region: Region, pixels: Array) -> None:
        if self._spec.channels is None:
            array[region.slices()] = pixels[0]
        else:
            array[(slice(None), *region.slices())] = pixels


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except FileNotFoundError:  # a chunk of zeros
        return 0


def _walk(folder: str, lead: Cell) -> Iterator[tuple[Cell, int]]:
    """The chunk files in a folder and in those in it, by their numbers, with their bytes."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.name.isdecimal():
                at = (*lead, int(entry.name))
                if entry.is_dir():
                    yield from _walk(entry.path, at)
                else:
                    yield at, entry.stat().st_size
