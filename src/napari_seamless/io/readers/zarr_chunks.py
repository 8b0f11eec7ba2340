"""The files of a zarr array: what is stored of a region, seen from outside, without decoding anything.

A chunk may be written anew while the metadata stay as they are, so that metadata say nothing of pixels. Zarr itself is
not imported here: an array that is given by somebody has loaded it already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import xxhash

from napari_seamless.fingerprints import stamp_of

Index = tuple[slice | int, ...]


def is_zarr(array: Any) -> bool:
    """Whether something is an array of the zarr package."""
    return type(array).__module__.partition(".")[0] == "zarr" and hasattr(array, "store")


def folder_of(array: Any) -> Path | None:
    """The folder that a zarr array lies in; None for all others, and where its store is no folder."""
    if not is_zarr(array):
        return None
    root, files = getattr(array.store, "root", None), getattr(array.store, "fs", None)
    if "file" in (getattr(files, "protocol", None) or ()):  # as dask opens a path
        root = Path(array.store.path)
    return root / array.path if isinstance(root, Path) else None


def metadata_digest(*arrays: Any) -> str:
    """A digest of what zarr arrays say of the way they are stored (not of their attributes)."""
    found = xxhash.xxh3_64()
    for array in arrays:
        told = {key: value for key, value in array.metadata.to_dict().items() if key != "attributes"}
        found.update(f"{array.path} {json.dumps(told, sort_keys=True, default=str)}".encode())
    return found.hexdigest()


def reopened(array: Any) -> Any:
    """A zarr array as it is stored now; everything else as it is. Raises what zarr raises where it is gone."""
    if not is_zarr(array):
        return array
    import zarr

    return zarr.open_array(array.store, path=array.path, mode="r")


def chunks_stamp(array: Any, index: Index) -> str | None:
    """What the disk says of the files that hold `index` of a zarr array; None where they are no files of a folder."""
    folder = folder_of(array)
    return None if folder is None else stamp_of(f"{folder}/{key}" for key in _keys(array, index))


def _keys(array: Any, index: Index) -> Iterator[str]:
    """The keys of the chunks, or shards, that hold `index`."""
    cells = array.shards or array.chunks
    spans = []
    for part, n, cell in zip(index, array.shape, cells, strict=True):
        lo, hi, _ = part.indices(n) if isinstance(part, slice) else (part, part + 1, 1)
        spans.append(range(lo // cell, -(-hi // cell)))
    for cell in product(*spans):
        yield array.metadata.encode_chunk_key(cell)
