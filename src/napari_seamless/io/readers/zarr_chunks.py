"""The files of a zarr array: what is stored of a region, seen from outside, without decoding anything.

A chunk may be written anew while the metadata stay as they are, so that metadata say nothing of pixels. Zarr itself is
not imported here: an array that is given by somebody has loaded it already.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import product
from math import inf, prod
from pathlib import Path
from typing import Any

import xxhash

from napari_seamless.errors import InputDamaged
from napari_seamless.fingerprints import stamp_of
from napari_seamless.io.readers.density import DENSEST, SUSPICIOUS, is_too_dense

ASKED_AT_ONCE = 16
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


def chunks_newer(array: Any, index: Index, since: float) -> bool | None:
    """Whether a server has written any chunk of `index` after a time, or has lost one; None where it does not say it.

    Asks for the headers of each chunk, several at once.
    """
    if getattr(array.store, "fs", None) is None:
        return None
    files, place = _at_address(array)

    def written(key: str) -> float | None:
        try:
            return _written(files.info(f"{place}/{key}"))
        except OSError:
            return inf

    with ThreadPoolExecutor(ASKED_AT_ONCE) as threads:
        found = list(threads.map(written, _keys(array, index)))
    known = [time for time in found if time is not None]
    return max(known, default=-inf) > since if len(known) == len(found) else None


def _at_address(array: Any) -> tuple[Any, str]:
    """The file system of fsspec's that a zarr array lies in, and where it lies there."""
    asked = array.store.fs
    # zarr's own belongs to zarr's event loop
    files = type(asked)(**{**asked.storage_options, "asynchronous": False})
    return files, "/".join(part for part in (str(array.store.path).rstrip("/"), array.path) if part)


def _written(said: Mapping[str, Any]) -> float | None:
    """When a file was written, of what is known of it: as web servers, S3 and Google say it; None where they do not."""
    value = next((said[name] for name in ("Last-Modified", "LastModified", "updated", "mtime") if name in said), None)
    try:
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, str):
            is_iso = value[:1].isdecimal()
            return (datetime.fromisoformat(value) if is_iso else parsedate_to_datetime(value)).timestamp()
    except ValueError:
        return None
    return float(value) if isinstance(value, int | float) else None


def check_density(array: Any, index: Index) -> None:
    """Raises InputDamaged where chunks of `index` would be decoded to very many times the bytes of their files, as the
    disk or a server says these."""
    size = prod(array.chunks) * array.dtype.itemsize
    if size <= SUSPICIOUS:
        return
    for file, stored in _file_sizes(array, index):
        if is_too_dense(size, stored):
            raise InputDamaged(
                f"a chunk as large as this fills more than a {DENSEST}th of its pixels' bytes; {file} has "
                f"{stored} bytes for {size}; do not open it, or save the array in smaller chunks"
            )


def _file_sizes(array: Any, index: Index) -> Iterator[tuple[str, int]]:
    """The files that hold `index` and are there, with their bytes where these are known."""
    folder = folder_of(array)
    if folder is not None:
        there = (folder / key for key in _keys(array, index))
        yield from ((str(file), file.stat().st_size) for file in there if file.is_file())
    elif getattr(array.store, "fs", None) is not None:
        files, place = _at_address(array)
        for key in _keys(array, index):
            with suppress(FileNotFoundError):
                stored = files.info(f"{place}/{key}").get("size")
                if stored is not None:
                    yield f"{place}/{key}", int(stored)


def _keys(array: Any, index: Index) -> Iterator[str]:
    """The keys of the chunks, or shards, that hold `index`."""
    cells = array.shards or array.chunks
    spans = []
    for part, n, cell in zip(index, array.shape, cells, strict=True):
        lo, hi, _ = part.indices(n) if isinstance(part, slice) else (part, part + 1, 1)
        spans.append(range(lo // cell, -(-hi // cell)))
    for cell in product(*spans):
        yield array.metadata.encode_chunk_key(cell)
