"""A result as a clean OME-Zarr: the same pixels and metadata, without the journal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region, cells_of
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.metadata import groups_of
from napari_seamless.store.output_path import built_beside, check_replaceable, place_taken
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.zarr_arrays import create_arrays, disk_errors

Read = Callable[[int, Region], NDArray[Any]]
OnProgress = Callable[[int, int], None]


def copy_pixels(
    spec: StoreSpec,
    read: Read,
    finished: NDArray[np.bool_],
    partial: NDArray[np.bool_],
    path: Path,
    overwrite: bool,
    on_progress: OnProgress | None,
    beside: Mapping[str, bytes] = MappingProxyType({}),
) -> Path:
    """Copy all levels chunk by chunk, one chunk in memory at a time; the path appears when everything is there.

    A copy of a partly finished result is marked: `complete` is false, `finished` says which chunks it has and
    `partial` which of them in part, so that it can be opened, and continued, as the result itself. What lies `beside`
    (moments, the roi), by name, goes along. `on_progress` gets (chunks done, chunks in all) in this thread; what it
    raises ends the copy and leaves nothing behind. Raises OutputExists and OutputUnwritable.
    """
    with disk_errors(path), place_taken(path) as lock:
        check_replaceable(path, overwrite=overwrite)
        grids = [spec.grid_of(level) for level in range(len(spec.level_shapes))]
        total, done = sum(grid.size for grid in grids), 0
        with built_beside(path) as built:
            target = create_arrays(built, spec, groups_of(spec, finished, partial))
            for level, grid in enumerate(grids):
                for cell in cells_of(Region.from_shape(grid.counts)):
                    region = grid.region(cell)
                    pixels = read(level, region)
                    if pixels.any():
                        target.write(level, region, pixels)
                    done += 1
                    if on_progress is not None:
                        on_progress(done, total)
            for name, content in beside.items():
                folder = built / f"{spec.folder}0" / FOLDER
                folder.mkdir(exist_ok=True)
                (folder / name).write_bytes(content)
        lock.release()
    return path
