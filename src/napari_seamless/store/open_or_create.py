"""Making, opening and continuing results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.storage import MemoryStore

from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable, OutputExists, OutputUnwritable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import SourceRead
from napari_seamless.store.journal import Journal
from napari_seamless.store.metadata import KEY, groups_of, spec_of, unpacked
from napari_seamless.store.output_path import attributes_at, built_beside, check_idle, check_replaceable, is_ours
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.store import CACHE_BYTES, Store
from napari_seamless.store.zarr_arrays import ZarrArrays, create_arrays, disk_errors

OTHER_IMAGE = "another source image (path, size or time of the file)"
SAME_IMAGE = "where it is the same one, repaired or copied again, say so (same_image=True, --same-image), else "


def create_store(
    path: str | Path | None, spec: StoreSpec, *, overwrite: bool = False, cache_bytes: int = CACHE_BYTES
) -> Store:
    """An empty result at `path`, or in memory where that is None.

    With `overwrite` an earlier result of this package is replaced; anything else at the path is refused (OutputExists).
    """
    groups = groups_of(spec)
    if path is None:
        return Store(
            spec, create_arrays(MemoryStore(), spec, groups), np.zeros(spec.grid.counts, bool), cache_bytes=cache_bytes
        )
    path = Path(path)
    with disk_errors(path):
        check_replaceable(path, overwrite=overwrite)
        with built_beside(path) as built:
            create_arrays(built, spec, groups)
    return _open(path, spec, cache_bytes)


def open_store(path: str | Path, *, cache_bytes: int = CACHE_BYTES, repairs: bool = True) -> Store:
    """An existing result, to read or to continue. Coarse levels are rebuilt first where its last writer died; not so
    without `repairs`, for those who want to know what it is, and change nothing.

    A result that a run is writing now is shown as it is on disk at this moment, coarse levels lagging behind level 0;
    so is one whose disk is full, or may only be read, until it is continued.
    Raises InputNotFound, InputUnreadable (not a result of this package) or InputDamaged.
    """
    path = Path(path)
    try:
        there = path.exists()
    except OSError as error:
        raise InputUnreadable(f"a result must be readable to be opened; {path}: {error.strerror}") from error
    if not there:
        raise InputNotFound(f"a result must exist to be opened; there is nothing at {path}; check the path")
    spec = spec_of(attributes_at(path))
    if spec is None:
        raise InputUnreadable(f"only results of this package are opened as such; {path} is none; open it as an image")
    try:
        return _open(path, spec, cache_bytes, repairs=repairs)
    except OutputUnwritable:
        return _open(path, spec, cache_bytes, repairs=False)


def resume_or_create(
    path: str | Path,
    spec: StoreSpec,
    overwrite: bool = False,
    *,
    tile: int = 0,
    same_image: bool = False,
    cache_bytes: int = CACHE_BYTES,
) -> Store:
    """Continue the result at `path` if it is the same program on the same source, else make it as `create_store` does;
    so with `overwrite`, which begins anew whatever is there.

    An earlier result keeps its chunks (or shards) where a `tile` holds at least one, whatever `spec` would have.
    With `same_image` the source may be another file than before (repaired, or copied again): the caller knows that it
    shows the same.

    Raises OutputExists, with what differs, for an earlier result of another kind unless `overwrite` says to replace it.
    """
    path = Path(path)
    with disk_errors(path):
        earlier = spec_of(attributes_at(path)) if is_ours(path) else None
    if earlier is not None and _fits(earlier, spec, tile):
        spec = replace(spec, chunk=earlier.chunk, shard=earlier.shard)
    known = spec if earlier is None or not same_image else replace(spec, source_identity=earlier.source_identity)
    difference = None if earlier is None else _difference(earlier, known)
    if earlier is not None and difference is None and not overwrite:
        check_idle(path)
        store = _open(path, earlier, cache_bytes)
        if spec.source_identity != earlier.source_identity:
            store.adopt(spec.source_identity)
        return store
    if difference is not None and not overwrite:
        still = SAME_IMAGE if difference == OTHER_IMAGE else ""
        raise OutputExists(
            f"only a run of the same program on the same image can continue a result; the one at {path} has "
            f"{difference}; {still}choose another path or overwrite it"
        )
    return create_store(path, spec, overwrite=overwrite, cache_bytes=cache_bytes)


def _open(path: Path, spec: StoreSpec, cache_bytes: int, *, repairs: bool = True) -> Store:
    with disk_errors(path):
        journal = Journal(path / f"{spec.folder}0", path)
        try:
            arrays = ZarrArrays(zarr.open_group(path, mode="r+", zarr_format=3), spec)
        except (KeyError, ValueError) as error:
            raise InputDamaged(f"a result has an array for every level; {path} has not: {error}") from error
        finished, partial, reads = _finished(path, spec, journal)
        store = Store(spec, arrays, finished, path, journal, cache_bytes, reads, partial)
        needs_repair = not journal.is_clean and not journal.is_busy
    if needs_repair and repairs:
        store.repair()
    store.lags = needs_repair and not repairs
    return store


def _finished(
    path: Path, spec: StoreSpec, journal: Journal
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], dict[Region, tuple[SourceRead, ...]]]:
    """What a partial copy says of itself, and what the journal adds: the finished chunks, those of them that are
    partial, and what boxes of chunks were made of."""
    own = attributes_at(path)[KEY]
    finished, partial = (unpacked(own.get(key), spec) for key in ("finished", "partial"))
    whole = Region.from_shape(spec.grid.counts)
    reads: dict[Region, tuple[SourceRead, ...]] = {}
    for entry in journal.entries():
        if entry.box.ndim == whole.ndim and whole.contains(entry.box):
            finished[entry.box.slices()], partial[entry.box.slices()] = entry.is_kept, entry.is_partial
            reads.pop(entry.box, None)
            if entry.is_kept and entry.reads is not None:
                reads[entry.box] = entry.reads
    return finished, partial, reads


def _fits(earlier: StoreSpec, spec: StoreSpec, tile: int) -> bool:
    """Whether a run with such tiles can write into the chunks or shards that are there."""
    if (earlier.shard is None) != (spec.shard is None):
        return False
    return (earlier.shard or earlier.chunk) <= tile


def _difference(earlier: StoreSpec, spec: StoreSpec) -> str | None:
    """What keeps two runs from sharing a result, in words."""
    facts = {
        OTHER_IMAGE: (earlier.source_identity, spec.source_identity),
        "another program (model, weights or settings)": (
            (earlier.program_hash, earlier.settings),
            (spec.program_hash, spec.settings),
        ),
        f"the shape {earlier.shape} instead of {spec.shape}": (earlier.shape, spec.shape),
        f"{earlier.channels} channels instead of {spec.channels}": (earlier.channels, spec.channels),
        f"{earlier.dtype} pixels instead of {spec.dtype}": (earlier.dtype, spec.dtype),
        f"the kind {earlier.kind} instead of {spec.kind}": (earlier.kind, spec.kind),
        f"chunks of {earlier.chunk} instead of {spec.chunk} pixels": (earlier.chunk, spec.chunk),
        f"shards of {earlier.shard} instead of {spec.shard} pixels": (earlier.shard, spec.shard),
    }
    return next((words for words, (before, now) in facts.items() if before != now), None)
