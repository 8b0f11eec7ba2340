"""Formats that only aicsimageio reads, where it is installed: one scene, first time point.

aicsimageio is no longer developed, and pins zarr below 3 and an old tifffile, so that it cannot be declared beside
this package. Installed without its dependencies (`pip install --no-deps aicsimageio resource-backed-dask-array`) it
works, after one name that tifffile has moved is put back where it looks for it. Its dask arrays have one chunk a
plane, as bioio's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import tifffile

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.seams import ImageInfo, Pixels
from napari_seamless.sources.files import identity_of_path
from napari_seamless.sources.foreign import open_bioimage
from napari_seamless.sources.scenes import Scene

DAMAGE = (ValueError, RuntimeError, OSError, EOFError, KeyError, IndexError, TypeError, AttributeError, struct.error)


class AicsimageioSource:
    """A file through aicsimageio. Any thread; picklable (opened again from its path)."""

    def __init__(self, path: Path, axes: str | None = None, scene: Scene = None) -> None:
        self._path = path
        self._axes = axes
        self._scene = scene
        library, unsupported = loaded()
        try:
            image = library(path)
            self._inner = open_bioimage(image, axes, scene=scene, name=path.name, identity=identity_of_path(path))
        except unsupported:
            raise InputUnreadable(f"no installed part of aicsimageio reads {path.name}") from None
        except (BadRequest, InputUnreadable):
            raise
        except DAMAGE as problem:
            raise InputDamaged(f"aicsimageio could not read {path.name}: {problem}; export it again") from problem

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        try:
            return self._inner.read(region, level)
        except BadRequest:
            raise
        except DAMAGE as problem:
            raise InputDamaged(
                f"aicsimageio could not read {self._path.name}, {region!r}: {problem}; copy or export the file again"
            ) from problem

    def close(self) -> None:
        """Nothing to give back: aicsimageio opens the file for each plane."""

    def __reduce__(self) -> tuple[type[AicsimageioSource], tuple[Path, str | None, Scene]]:
        return AicsimageioSource, (self._path, self._axes, self._scene)


def loaded() -> tuple[Any, type[Exception]]:
    """AICSImage, and what it raises for formats that it does not know. InputUnreadable when it cannot be imported."""
    registry: Any = type(tifffile.TIFF)
    if not hasattr(registry, "RESUNIT"):
        registry.RESUNIT = tifffile.RESUNIT
    try:
        from aicsimageio import AICSImage
        from aicsimageio.exceptions import UnsupportedFileFormatError
    except (ImportError, AttributeError) as problem:
        raise InputUnreadable(f"aicsimageio does not work with the packages installed here: {problem}") from problem
    return AICSImage, UnsupportedFileFormatError
