"""What lies at an output path, and whether we may take its place."""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_seamless.errors import OutputExists
from napari_seamless.store.journal import Journal
from napari_seamless.store.metadata import spec_of

TRACES_OF_OTHERS = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})


def is_free(path: Path) -> bool:
    """Whether nothing is there, or an empty folder."""
    return (not path.exists() and not path.is_symlink()) or (path.is_dir() and not any(path.iterdir()))


def attributes_at(path: Path) -> Mapping[str, Any]:
    """The attributes of the zarr 3 group at a path; none where there is no such group."""
    try:
        described = json.loads((path / "zarr.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    attributes = described.get("attributes") if isinstance(described, dict) else None
    return attributes if isinstance(attributes, dict) else {}


def is_ours(path: Path) -> bool:
    """Whether a folder is a result of this package and holds nothing else. A link to one is not."""
    spec = None if path.is_symlink() or not path.is_dir() else spec_of(attributes_at(path))
    if spec is None:
        return False
    levels = {str(level) for level in range(len(spec.level_shapes))}
    if spec.kind == "image":
        return _others(path, levels) == set()
    name = Path(spec.folder).name
    inside = ((path, {"labels"}), (path / "labels", {name}), (path / "labels" / name, levels))
    return all(_others(folder, ours) == set() for folder, ours in inside)


def _others(folder: Path, ours: set[str]) -> set[str]:
    if not folder.is_dir():
        return set()
    return {entry.name for entry in folder.iterdir()} - ours - {"zarr.json"} - TRACES_OF_OTHERS


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
    check_idle(path)


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


def check_idle(path: Path) -> None:
    """Raise OutputExists where a run is writing the result at `path` now."""
    spec = spec_of(attributes_at(path))
    if spec is not None and Journal(path / f"{spec.folder}0", path).is_busy:
        raise OutputExists(
            f"a result is written by one run at a time; another one is writing {path}; "
            "wait until it ends, cancel it, or choose another path"
        )


@contextmanager
def built_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place when all went well, and vanishes when not.

    What was at `path` (free, or ours) is removed only once the new folder is complete. Raises OSError.
    """
    if path.parent.exists() and not path.parent.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path.parent))
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    built = scratch / "new"
    try:
        yield built
        _swap(built, path, scratch / "old")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(built: Path, path: Path, earlier: Path) -> None:
    if path.exists():
        path.rename(earlier)
    try:
        built.rename(path)
    except OSError:
        if earlier.exists():
            earlier.rename(path)
        raise
