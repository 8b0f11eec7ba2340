"""The zarr arrays of a result, and how the disk says no."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.abc.store import Store as ZarrStore
from zarr.codecs import BloscCodec, ZstdCodec

from napari_seamless.errors import OutputUnwritable, SeamlessError
from napari_seamless.geometry import Region, cells_of
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


def _codec(spec: StoreSpec) -> ZstdCodec | BloscCodec:
    """zstd for labels (a third of lz4's size); shuffled lz4 for images (a third quicker to write, 4 x to read)."""
    if spec.kind == "labels":
        return ZstdCodec(level=1)
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
        arrays = [array for array in plain if isinstance(array, zarr.Array)]
        # zarr compares every chunk with the fill value unless told not to, which costs more than the codec
        self._full = [array.with_config({"write_empty_chunks": True}) for array in arrays]
        self._empty = [array.with_config({"write_empty_chunks": False}) for array in arrays]

    def read(self, level: int, region: Region, channels: slice = slice(None)) -> Array:
        """A region of a level, (c, *region.shape), an array of its own."""
        if self._spec.channels is None:
            return np.asarray(self._full[level][region.slices()])[None]
        return np.asarray(self._full[level][(channels, *region.slices())])

    def write(self, level: int, region: Region, pixels: Array) -> None:
        """Whole chunks. A chunk of zeros takes no file, and removes the one that may be there."""
        grid = self._spec.grid_of(level)
        inner = [grid.region(cell) for cell in cells_of(grid.covering(region))]
        parts = [(part, pixels[(slice(None), *part.slices(region.start))]) for part in inner]
        if all(values.any() for _, values in parts):
            self._put(self._full[level], region, pixels)
            return
        for part, values in parts:
            self._put((self._full if values.any() else self._empty)[level], part, values)

    def _put(self, array: zarr.Array[Any], region: Region, pixels: Array) -> None:
        if self._spec.channels is None:
            array[region.slices()] = pixels[0]
        else:
            array[(slice(None), *region.slices())] = pixels
