"""What lies at an output path, and whether we may take its place."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import sleep
from typing import Any

from napari_seamless.durable_files import PARTIAL, REPLACED, SIGN, beside, recover, replace_folder, sync_tree
from napari_seamless.errors import OutputExists
from napari_seamless.file_lock import PlaceLock
from napari_seamless.store.disk_store import METADATA
from napari_seamless.store.journal import FOLDER
from napari_seamless.store.metadata import spec_of
from napari_seamless.store.several_images import SERIES, XML, images_in
from napari_seamless.store.spec import CANDIDATES, StoreSpec

TRACES_OF_OTHERS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})

NEW, REPLACEMENT = "new", "replacement"
"""What may lie beside an output path: what is being built, and a run's result that is to replace the one there."""

ATTEMPTS, SECONDS_BETWEEN = 50, 0.01
"""While one result takes the place of another, for a moment none is there."""


def is_free(path: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return (not path.exists() and not path.is_symlink()) or (path.is_dir() and not any(path.iterdir()))


def attributes_at(path: Path) -> Mapping[str, Any]:
    """The attributes of the zarr 3 group at a path; none where there is no such group."""
    try:
        described = json.loads((path / METADATA).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    attributes = described.get("attributes") if isinstance(described, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def is_ours(path: Path) -> bool:
    """Whether a folder is a result of ours, of one image or of several, and holds nothing else. A link is not."""
    if path.is_symlink() or not path.is_dir():
        return False
    images = images_in(attributes_at(path))
    if images:
        folders = [path / folder for folder in images.values()]
        is_plain = not _others(path, {SERIES, *images.values()}) and not _others(path / SERIES, {XML})
        return is_plain and all(is_ours(folder) for folder in folders if folder.exists())
    spec = spec_of(attributes_at(path))
    if spec is None:
        return False
    levels = {str(level) for level in range(len(spec.level_shapes))}
    if spec.kind == "image":
        return _others(path, levels) == set()
    name = Path(spec.folder).name
    inside = ((path, {"labels", CANDIDATES}), (path / "labels", {name}), (path / "labels" / name, levels))
    is_plain = all(_others(folder, ours) == set() for folder, ours in inside)
    return is_plain and (not (path / CANDIDATES).exists() or is_ours(path / CANDIDATES))


def _others(folder: Path, ours: set[str]) -> set[str]:
    if not folder.is_dir():
        return set()
    names = {entry.name for entry in folder.iterdir()} - ours - {METADATA} - TRACES_OF_OTHERS
    return {name for name in names if not _is_left_over(name)}


def _is_left_over(name: str) -> bool:
    """Whether a name is of a file that a kill left behind: ours, or of zarr as it writes metadata."""
    return f".{SIGN}" in name or (name.lstrip(".").startswith("zarr.") and name.endswith(PARTIAL))


def check_replaceable(path: Path, *, overwrite: bool) -> None:
    """Raise OutputExists unless the path is free, or holds a result of ours that the user wants to replace."""
    if is_free(path):
        return
    if not is_ours(path):
        raise OutputExists(
            f"an output path must be free, or hold an earlier result of this package and nothing else; {path} holds "
            "something else, which is never overwritten; choose another path"
        )
    if not overwrite:
        raise OutputExists(
            f"an output path must be free; {path} holds an earlier result; choose another path or overwrite it"
        )


def require_apart(output: Path, sources: Iterable[Path]) -> None:
    """Raise OutputExists where an output is a file or folder of the image, lies inside of it, or around it."""
    place = output.resolve()
    for source in sources:
        there = source.resolve()
        if place == there or there in place.parents or place in there.parents:
            how = "the image itself" if place == there else "inside it" if there in place.parents else "around it"
            raise OutputExists(
                f"an output must lie apart from the image that it is made of ({source}); got {output}, which is {how}; "
                "choose another path"
            )


@contextmanager
def built_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place, on the disk, when all went well, and vanishes when not.

    What was at `path` (free, or ours) is removed only once the new folder is complete. Whoever builds has the lock of
    the path. Raises OSError.
    """
    built = beside(path, NEW)
    shutil.rmtree(built, ignore_errors=True)
    try:
        yield built
        sync_tree(built)
        replace_folder(built, path)
    finally:
        shutil.rmtree(built, ignore_errors=True)


@contextmanager
def place_taken(path: Path) -> Iterator[PlaceLock]:
    """The lock of an output path, whose folder is made; what a kill left there is put in order. It stays taken where
    all goes well. Raises OutputExists where another has it, OSError."""
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = PlaceLock(path)
    lock.take(OutputExists)
    try:
        recover(path, beside(path, NEW), beside(path, REPLACEMENT))
        yield lock
    except BaseException:
        lock.release()
        raise


def sweep_partials(path: Path, spec: StoreSpec, *, also_chunks: bool) -> None:
    """Remove what a kill left of the small files of a result, and of chunks. Whoever calls has its lock.

    Raises OSError.
    """
    levels = [path / f"{spec.folder}{level}" for level in range(len(spec.level_shapes))]
    folders = {path, path / "labels", levels[0].parent, levels[0] / FOLDER, *levels}
    for folder in (folders | {level / "c" for level in levels}) if also_chunks else folders:
        find = folder.rglob if folder.name == "c" else folder.glob
        for torn in find(f"*{PARTIAL}"):
            torn.unlink(missing_ok=True)


def put_in_order(path: Path) -> None:
    """Let a result appear whose way to its place was cut off, or is being gone just now. Raises OSError."""
    lock = PlaceLock(path)
    for _ in range(ATTEMPTS):
        if path.exists() or not beside(path, REPLACED).exists():
            return
        if not lock.is_taken:
            with lock.held():
                recover(path, beside(path, NEW), beside(path, REPLACEMENT))
        else:
            sleep(SECONDS_BETWEEN)
