"""The files and folders that lazy arrays read from: found in dask graphs, xarray's wrappers, and what holds others.

An output must not lie there. Nothing is imported here that the arrays have not loaded, and nothing is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.fingerprints import OnDisk
from napari_seamless.io._compat import wrapped_by_xarray
from napari_seamless.io.readers.axes import is_dask
from napari_seamless.io.readers.zarr_chunks import folder_of, is_zarr

ZARR_METADATA = ("zarr.json", ".zarray", ".zgroup")


def files_behind(*arrays: object) -> tuple[Path, ...]:
    """Files, and folders of zarr, that arrays of any kind read from, as far as that can be seen; each once."""
    found: dict[Path, None] = {}
    seen: set[int] = set()
    kept: list[object] = []  # so that no two things have one id
    left: list[object] = list(arrays)
    while left:
        thing = left.pop()
        if isinstance(thing, int | float | slice | type(None)) or id(thing) in seen:
            continue
        seen.add(id(thing))
        kept.append(thing)
        found |= dict.fromkeys(_own(thing))
        left += _inside(thing)
    return tuple(found)


def _own(thing: Any) -> Iterator[Path]:
    """The paths that a thing names itself."""
    if is_zarr(thing):
        folder = folder_of(thing)
        if folder is not None:
            yield folder
    elif isinstance(thing, np.memmap):
        if thing.filename is not None:
            yield Path(thing.filename)
    elif isinstance(thing, str | Path):
        if _is_image_path(thing):
            yield Path(thing)
    elif isinstance(thing, OnDisk):
        yield from thing.paths
    elif type(thing).__module__.partition(".")[0] == "h5py":
        yield Path(thing.file.filename)


def _is_image_path(text: str | Path) -> bool:
    """Whether a word among the arguments of a task is a file, or a folder of zarr; a name may be anything else."""
    path = Path(text)
    try:
        return path.is_file() or any((path / name).is_file() for name in ZARR_METADATA)
    except (OSError, ValueError):  # too long for a path, or with a character that none has
        return False


def _inside(thing: Any) -> list[object]:
    """What a thing is made of: other arrays, tasks of a graph and their arguments."""
    if wrapped := wrapped_by_xarray(thing):
        return wrapped
    if is_dask(thing):
        return [thing.__dask_graph__()]
    if isinstance(thing, Mapping):
        layers = getattr(thing, "layers", None)  # of a graph of layers, which need not be spelled out
        return [*layers.values()] if isinstance(layers, Mapping) else _of_layer(thing)
    if isinstance(thing, list | tuple | set | frozenset):
        return [*thing]
    if isinstance(thing, partial):
        return [*thing.args, *thing.keywords.values()]
    if isinstance(thing, np.ndarray):
        return [thing.base]
    named = ("func", "args", "kwargs", "value") if _is_of_dask(thing) else ()
    return [getattr(thing, name, None) for name in named]


def _of_layer(layer: Mapping[Any, Any]) -> list[object]:
    """The tasks of a layer: the one that stands for all, where there is one, and what it is given."""
    task = getattr(layer, "task", None)
    if task is None:
        return [*layer.values()]
    given = [values for values in getattr(layer, "io_deps", {}).values() if isinstance(values, Mapping)]
    return [task, *(pair[0] for pair in getattr(layer, "indices", ())), *(getattr(v, "mapping", None) for v in given)]


def _is_of_dask(thing: object) -> bool:
    return type(thing).__module__.partition(".")[0] == "dask"
