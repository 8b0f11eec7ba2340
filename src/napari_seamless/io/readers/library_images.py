"""A file through a library that reads many formats: what bioio and aicsimageio have in common."""

from __future__ import annotations

import struct
from abc import abstractmethod
from math import prod
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import tifffile

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Pixels
from napari_seamless.io.readers.array import ArraySource
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.density import DENSEST, is_too_dense
from napari_seamless.io.readers.file_access import FileBacked, OpenedFiles
from napari_seamless.io.readers.file_type import not_tiff
from napari_seamless.io.readers.image_objects import open_bioimage
from napari_seamless.io.readers.scenes import Scene

DAMAGE = (
    ValueError, RuntimeError, OSError, EOFError, LookupError, TypeError, AttributeError, ArithmeticError,
    AssertionError, MemoryError, struct.error,
)  # fmt: skip
"""What libraries raise for broken files, memory among it where sizes are none."""


class LibrarySource(FileBacked):
    """A file through the library of that name. Any thread; picklable (opened again from its path)."""

    library: ClassVar[str]

    def __init__(self, path: Path, axes: str | None = None, scene: Scene = None, time: int | None = None) -> None:
        self._path, self._axes, self._scene, self._time = path, axes, scene, time
        self._files = OpenedFiles.of(path, *_files_in(path))
        try:
            image = self._opened(path)
            inner = open_bioimage(image, axes, scene=scene, name=path.name, identity=self._files.identity)
            self._inner = inner if time is None else inner.at_time(time)
            self._require_dense(inner)
        except (BadRequest, InputUnreadable):
            raise
        except DAMAGE as problem:
            raise InputDamaged(f"{self.library} could not read {path.name}: {problem}; export it again") from problem

    def _require_dense(self, image: ArraySource) -> None:
        """Raise InputDamaged for a plane, of which any read decodes all, that its file cannot hold.

        Other formats than TIFF keep pixels in files that are not known here.
        """
        decoded = prod(image.info.levels.shape(0)[-2:]) * image.info.dtype.itemsize
        stored = sum(file.stat().st_size for file in self._files.files)
        if not not_tiff(self._path) and is_too_dense(decoded, stored):
            raise InputDamaged(
                f"{self.library} decodes planes whole, and one as large as this fills more than a {DENSEST}th of its "
                f"pixels' bytes; {self._path.name} has {stored} bytes for {decoded}; do not open it, or save it as "
                "OME-Zarr"
            )

    @staticmethod
    @abstractmethod
    def _opened(path: Path) -> Any:
        """The library's own image. Raises InputUnreadable where it does not know the format."""

    @property
    def info(self) -> ImageInfo:
        return self._inner.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x) of the type in `info`; `region` is ((z,) y, x) in pixels of `level`.

        Raises BadRequest outside the image, InputDamaged.
        """
        require_inside(self.info.levels.shape(level), region)
        try:
            part = self._inner.fetch(region, level)
        except DAMAGE as problem:
            raise InputDamaged(
                f"{self.library} could not read {self._path.name}, {region!r}: {problem}; copy or export the file again"
            ) from problem
        return self._inner.layouts[level].arranged(part)

    def at_time(self, time: int) -> LibrarySource:
        """The file at another time point, by its number from 0. Raises BadRequest where there is none."""
        self._inner.at_time(time)
        return type(self)(self._path, self._axes, self._scene, time)

    def close(self) -> None:  # nothing to give back is right for all of them
        """Does nothing: these libraries open the file for each plane."""

    def __reduce__(self) -> tuple[type[LibrarySource], tuple[Path, str | None, Scene, int | None]]:
        return type(self), (self._path, self._axes, self._scene, self._time)


def _files_in(path: Path) -> list[Path]:
    """Of a folder all that is in it."""
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else []


def write_example(folder: Path) -> Path:
    """An OME-TIFF of two channels, (c, y, x), which both libraries read."""
    pixels = np.add.outer([0, 99], np.add.outer(np.arange(30), np.arange(40))).astype(np.uint16)
    tifffile.imwrite(folder / "example.ome.tif", pixels, metadata={"axes": "CYX"})
    return folder / "example.ome.tif"
