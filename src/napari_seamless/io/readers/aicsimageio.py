"""Formats that only aicsimageio reads, where it is installed: one scene, one time point.

aicsimageio is no longer developed, and pins zarr below 3 and an old tifffile, so that it cannot be declared beside
this package. Installed without its dependencies (`pip install --no-deps aicsimageio resource-backed-dask-array`) it
works, after one name that tifffile has moved is put back where it looks for it. Its dask arrays have one chunk a
plane, as bioio's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari_seamless.errors import InputUnreadable
from napari_seamless.io._compat import restore_moved_names
from napari_seamless.io.readers.library_images import LibrarySource, write_example
from napari_seamless.io.readers.scenes import Scene

__all__ = ["AicsimageioSource", "open_file", "write_example"]


def open_file(path: Path, axes: str | None, scene: Scene) -> AicsimageioSource:
    """A file or folder, as `Reader.open_file` says."""
    return AicsimageioSource(path, axes, scene)


class AicsimageioSource(LibrarySource):
    """A file through aicsimageio."""

    library = "aicsimageio"

    @staticmethod
    def _opened(path: Path) -> Any:
        image, unsupported = loaded()
        try:
            return image(path)
        except unsupported:
            raise InputUnreadable(f"no installed part of aicsimageio reads {path.name}") from None


def loaded() -> tuple[Any, type[Exception]]:
    """AICSImage, and what it raises for formats that it does not know. InputUnreadable when it cannot be imported."""
    restore_moved_names()
    try:
        from aicsimageio import AICSImage
        from aicsimageio.exceptions import UnsupportedFileFormatError
    except (ImportError, AttributeError) as problem:
        raise InputUnreadable(f"aicsimageio does not work with the packages installed here: {problem}") from problem
    return AICSImage, UnsupportedFileFormatError
