"""Slides that OpenSlide alone reads well: Hamamatsu, Mirax, Leica, Ventana, and the JPEG 2000 kind of Aperio.

OpenSlide places a read of a coarser level by level-0 coordinates. The levels' scales are rarely whole numbers, so that
the position is rounded to the nearest level-0 pixel. Transparent pixels (never scanned) show the slide's background.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

from napari_seamless.errors import InputDamaged, InputUnreadable
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.file_access import identity_of_path
from napari_seamless.io.readers.file_type import not_tiff, require_file
from napari_seamless.io.readers.formats import format_by_suffix
from napari_seamless.io.readers.scenes import Scene, single

WHITE = "FFFFFF"


def open_file(path: Path, axes: str | None, scene: Scene) -> Source:  # noqa: ARG001
    """A file, as `Reader.open_file` says; the axes are always those of colours.

    Where the name does not promise a slide, other readers may know better: of a TIFF file only those of scanners are
    taken (of any other red, green and blue would be made), of other files no scenes (of some, as CZI, all are shown as
    one image), and what fails is not called damaged.
    """
    require_file(path)
    if format_by_suffix(path) is not None:
        return single(OpenSlideSource(path), scene)
    if not not_tiff(path):
        return _of_a_scanner(path, scene)
    if scene is not None:
        raise InputUnreadable("it shows a file as one image, without scenes")
    try:
        return OpenSlideSource(path)
    except InputDamaged as problem:
        raise InputUnreadable(str(problem)) from problem


def write_example(folder: Path) -> Path:
    """A slide in JPEG tiles; OpenSlide goes by what is in it, and not by its name."""
    pixels = np.add.outer(np.arange(300), np.add.outer(np.arange(400), [0, 40, 80])).astype(np.uint8)
    path = folder / "example.bif"
    tifffile.imwrite(path, pixels, tile=(64, 64), compression="jpeg", photometric="rgb", metadata=None)
    return path


def _of_a_scanner(path: Path, scene: Scene) -> Source:
    source = single(OpenSlideSource(path), scene)
    if source.info.format.endswith("generic-tiff"):
        source.close()
        raise InputUnreadable("it is of no scanner that OpenSlide knows")
    return source


class OpenSlideSource:
    """A slide through OpenSlide: (3, y, x) uint8. Any thread; picklable (opened again from its path)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise InputUnreadable(f"{path.name} is in no format that OpenSlide knows") from None
        except openslide.OpenSlideError as problem:
            raise InputDamaged(f"a slide must be complete; {path.name}: {problem}; copy it again") from problem
        self._info = _info(path, self._slide)
        colour = self._slide.properties.get(openslide.PROPERTY_NAME_BACKGROUND_COLOR, WHITE)
        self._background = np.array(list(bytes.fromhex(colour)), dtype=np.uint8)

    @property
    def info(self) -> ImageInfo:
        return self._info

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array uint8 (3, y, x): red, green, blue; `region` is (y, x) in pixels of `level`.

        Raises BadRequest outside the image, InputDamaged.
        """
        require_inside(self._info.levels.shape(level), region)
        if region.is_empty:
            return np.zeros((3, *region.shape), dtype=np.uint8)
        y, x = (round(lo * scale) for lo, scale in zip(region.start, self._info.levels.scale(level), strict=True))
        height, width = region.shape
        try:
            rgba = np.asarray(self._slide.read_region((x, y), level, (width, height)))
        except openslide.OpenSlideError as problem:
            raise InputDamaged(
                f"a slide must be complete; {self._path.name}, level {level}, {region!r}: {problem}; copy it again"
            ) from problem
        return np.moveaxis(_over(rgba, self._background), 2, 0)

    def close(self) -> None:
        """Closes the slide; no read may be under way."""
        self._slide.close()

    def __reduce__(self) -> tuple[type[OpenSlideSource], tuple[Path]]:
        return OpenSlideSource, (self._path,)


def _over(rgba: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(y, x, 4) over a plain colour, as (y, x, 3)."""
    colours, weight = rgba[:, :, :3], rgba[:, :, 3:].astype(np.uint32)
    if (weight == 255).all():
        return colours.copy()
    mixed: NDArray[np.uint32] = colours * weight + background * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _info(path: Path, slide: openslide.OpenSlide) -> ImageInfo:
    sizes = [slide.properties.get(name) for name in (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)]
    return ImageInfo(
        name=path.name,
        levels=Levels(tuple((y, x) for x, y in slide.level_dimensions)),
        channels=3,
        dtype=np.dtype(np.uint8),
        identity=identity_of_path(path),
        channel_names=("red", "green", "blue"),
        rgb=True,
        pixel_size=tuple(float(s) for s in sizes if s) if all(sizes) else None,
        format=f"OpenSlide {slide.properties.get(openslide.PROPERTY_NAME_VENDOR, '')}".strip(),
    )
