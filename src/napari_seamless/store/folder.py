"""What lies at an output path, and whether we may take its place."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from napari_seamless.errors import OutputExists
from napari_seamless.store.metadata import KEY

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
    if path.is_symlink() or not path.is_dir() or KEY not in attributes_at(path):
        return False
    names = {entry.name for entry in path.iterdir()} - {"zarr.json"} - TRACES_OF_OTHERS
    return all(name.isdigit() for name in names)


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


@contextmanager
def built_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path` that takes its place when all went well, and vanishes when not.

    What was at `path` (free, or ours) is removed only once the new folder is complete. Raises OSError.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    built = scratch / "new"
    try:
        yield built
        _swap(built, path, scratch / "old")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _swap(built: Path, path: Path, aside: Path) -> None:
    if path.exists():
        path.rename(aside)
    try:
        built.rename(path)
    except OSError:
        if aside.exists():
            aside.rename(path)
        raise
