"""Making, opening and continuing results."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from zarr.storage import MemoryStore

from napari_seamless.durable_files import beside
from napari_seamless.errors import InputDamaged, InputNotFound, InputUnreadable, OutputExists, OutputUnwritable
from napari_seamless.file_lock import PlaceLock
from napari_seamless.store.fence import end_fences
from napari_seamless.store.journal import FOLDER, Journal
from napari_seamless.store.metadata import KEY, groups_of, spec_of, unpacked
from napari_seamless.store.output_path import (
    REPLACEMENT,
    attributes_at,
    built_beside,
    check_replaceable,
    is_free,
    is_ours,
    place_taken,
    put_in_order,
    sweep_partials,
)
from napari_seamless.store.recorded import Recorded
from napari_seamless.store.several_images import chosen_image, create_group_of, folders_of, images_in
from napari_seamless.store.spec import StoreSpec
from napari_seamless.store.store import CACHE_BYTES, Store
from napari_seamless.store.zarr_arrays import create_arrays, disk_errors, open_arrays

OTHER_IMAGE = "another source image (path, size or time of the file)"
SAME_IMAGE = "where it is the same one, repaired or copied again, say so (same_image=True, --same-image), else "


def create_store(
    path: str | Path | None, spec: StoreSpec, *, overwrite: bool = False, cache_bytes: int = CACHE_BYTES
) -> Store:
    """An empty result at `path`, or in memory where that is None. Nobody else can write it until it is closed.

    With `overwrite` an earlier result of this package is replaced; anything else at the path is refused (OutputExists).
    The earlier one stays until the new one is closed, complete or accepted; that lies hidden beside it so long.
    """
    if path is None:
        return Store(
            spec,
            create_arrays(MemoryStore(), spec, groups_of(spec)),
            np.zeros(spec.grid.counts, bool),
            cache_bytes=cache_bytes,
        )
    path = Path(path)
    with disk_errors(path), place_taken(path) as lock:
        check_replaceable(path, overwrite=overwrite)
        return _create(path, spec, lock, cache_bytes)


def _create(path: Path, spec: StoreSpec, lock: PlaceLock, cache_bytes: int) -> Store:
    """A new result at a path that is free, or beside the one that it replaces."""
    place = path if is_free(path) else beside(path, REPLACEMENT)
    if (earlier := _spec_at(path)) is not None:
        end_fences(path / f"{earlier.folder}0" / FOLDER)
    shutil.rmtree(beside(path, REPLACEMENT), ignore_errors=True)
    with built_beside(place) as built:
        create_arrays(built, spec, groups_of(spec))
    return _open(place, spec, cache_bytes, lock, target=path)


def open_store(
    path: str | Path, *, image: str | None = None, cache_bytes: int = CACHE_BYTES, repairs: bool = True
) -> Store:
    """An existing result, to read or to continue. Coarse levels are rebuilt first where its last writer died; not so
    without `repairs`, for those who want to know what it is, and change nothing. Of a result of several images (the
    outputs of a network) `image` is the name of the one that is opened, the first without it; `images_at` lists them.

    A result that a run is writing now is shown as it is on disk at this moment, coarse levels lagging behind level 0;
    so is one whose disk is full, or may only be read, until it is continued.
    Raises InputNotFound, InputUnreadable (not a result of this package), InputDamaged, and BadRequest for an `image`
    that is not there.
    """
    path = Path(path)
    try:
        put_in_order(path)
        there = path.exists()
    except OSError as error:
        raise InputUnreadable(f"a result must be readable to be opened; {path}: {error.strerror}") from error
    if not there:
        raise InputNotFound(f"a result must exist to be opened; there is nothing at {path}; check the path")
    images = images_in(attributes_at(path))
    if images or (image is not None and spec_of(attributes_at(path)) is not None):
        path = chosen_image(path, images, image)
        put_in_order(path)
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
    so with `overwrite`, which begins anew whatever is there, or goes on with what an earlier `overwrite` began.

    An earlier result keeps its chunks (or shards) where a `tile` holds at least one, whatever `spec` would have.
    With `same_image` the source may be another file than before (repaired, or copied again): the caller knows that it
    shows the same.

    Raises OutputExists, with what differs, for an earlier result of another kind unless `overwrite` says to replace it,
    and where another one is writing it.
    """
    path = Path(path)
    with disk_errors(path), place_taken(path) as lock:
        if overwrite:
            return _replace(path, spec, lock, tile, cache_bytes)
        if images_at(path) and is_ours(path):
            raise _other_images(path)
        earlier = _spec_at(path)
        if earlier is None:
            check_replaceable(path, overwrite=False)
            return _create(path, spec, lock, cache_bytes)
        if _fits(earlier, spec, tile):
            spec = replace(spec, chunk=earlier.chunk, shard=earlier.shard)
        known = replace(spec, source_identity=earlier.source_identity) if same_image else spec
        difference = _difference(earlier, known)
        if difference is not None:
            still = SAME_IMAGE if difference == OTHER_IMAGE else ""
            raise OutputExists(
                f"only a run of the same program on the same image can continue a result; the one at {path} has "
                f"{difference}; {still}choose another path or overwrite it"
            )
        store = _open(path, earlier, cache_bytes, lock)
        if spec.source_identity != earlier.source_identity:
            store.adopt(spec.source_identity)
        return store


def images_at(path: str | Path) -> tuple[str, ...]:
    """The names of the images of a result of several, in their order; () for any other."""
    return tuple(images_in(attributes_at(Path(path))))


def resume_or_create_images(
    path: Path, specs: Mapping[str, StoreSpec], overwrite: bool = False, *, tile: int = 0, same_image: bool = False
) -> tuple[dict[str, Store], PlaceLock]:
    """Several results in one folder, by name: as `resume_or_create` does it for each; and the lock of the folder.

    Raises OutputExists, also for a result of other images, unless `overwrite` says to replace it: that is gone then.
    """
    folders = folders_of(specs)
    with disk_errors(path), place_taken(path) as lock:
        there = images_in(attributes_at(path)) if is_ours(path) else {}
        if there != folders:
            if there and not overwrite:
                raise _other_images(path)
            check_replaceable(path, overwrite=overwrite)
            with built_beside(path) as built:
                create_group_of(built, specs)
        stores: dict[str, Store] = {}
        how: dict[str, Any] = {"tile": tile, "same_image": same_image}
        try:
            for name, spec in specs.items():
                stores[name] = resume_or_create(path / folders[name], spec, overwrite and there == folders, **how)
        except BaseException:
            for store in stores.values():
                store.let_go()
            raise
        return stores, lock


def _other_images(path: Path) -> OutputExists:
    return OutputExists(
        f"only a run for the same outputs can continue a result; the one at {path} has the images "
        f"{', '.join(map(repr, images_at(path)))}; choose another path or overwrite it"
    )


def _replace(path: Path, spec: StoreSpec, lock: PlaceLock, tile: int, cache_bytes: int) -> Store:
    """Begin anew, or go on with what another run began in order to replace what is at a path."""
    check_replaceable(path, overwrite=True)
    begun = beside(path, REPLACEMENT)
    earlier = _spec_at(begun)
    if earlier is not None and not is_free(path):
        wanted = replace(spec, chunk=earlier.chunk, shard=earlier.shard) if _fits(earlier, spec, tile) else spec
        if _difference(earlier, wanted) is None:
            return _open(begun, earlier, cache_bytes, lock, target=path)
    return _create(path, spec, lock, cache_bytes)


def _spec_at(path: Path) -> StoreSpec | None:
    return spec_of(attributes_at(path)) if is_ours(path) else None


def _open(
    path: Path,
    spec: StoreSpec,
    cache_bytes: int,
    lock: PlaceLock | None = None,
    *,
    repairs: bool = True,
    target: Path | None = None,
) -> Store:
    """What lies at a path; `target` is the path that a user knows it by, where it is to lie there one day."""
    target, is_held = target or path, lock is not None
    with disk_errors(target):
        lock = lock or PlaceLock(target)
        journal = Journal(path / f"{spec.folder}0", target)
        try:
            arrays = open_arrays(path, spec)
        except (KeyError, ValueError) as error:
            raise InputDamaged(f"a result has an array for every level; {target} has not: {error}") from error
        if is_held:
            arrays.raise_fence(target)
        is_idle = is_held or not lock.is_taken
        own, content = attributes_at(path)[KEY], journal.read()
        copied, partial = (unpacked(own.get(key), spec) for key in ("finished", "partial"))
        recorded = Recorded.of(spec.grid, copied, partial, content)
        lost = recorded.lost(arrays, content) if is_idle else np.zeros(spec.grid.counts, bool)
        is_current = journal.is_clean(arrays.coarse_bytes) and not lost.any() and not content.is_damaged
        needs_repair = is_idle and not is_current
        if needs_repair and repairs and not is_held:
            with lock.held():  # looked at anew: others may have had it meanwhile
                store = _open(path, spec, cache_bytes, lock, target=target)
                store.let_go()
                return store
        if is_held:
            sweep_partials(path, spec, also_chunks=not (is_current and journal.exists))
        store = Store(
            spec,
            arrays,
            recorded.finished & ~lost,
            path,
            journal,
            cache_bytes,
            recorded.reads,
            recorded.partial,
            lock=lock,
            target=target,
            is_current=is_current,
        )
        if needs_repair and repairs:
            if content.is_damaged:
                journal.rewrite(recorded.entries)
            unfinished = (arrays.sizes_on_disk(0) > 0) & ~recorded.finished
            arrays.empty(tuple(map(int, index)) for index in np.argwhere(unfinished))  # a file may be torn
            store.forget(lost)
    store.lags = needs_repair and not repairs
    return store


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
