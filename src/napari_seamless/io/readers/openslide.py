"""Slides that OpenSlide alone reads well: Hamamatsu, Mirax, Leica, Ventana, and the JPEG 2000 kind of Aperio.

OpenSlide places a read of a coarser level by level-0 coordinates. The levels' scales are rarely whole numbers, so that
the position is rounded to the nearest level-0 pixel. Transparent pixels (never scanned) show the slide's background.

Some slides (Mirax, Leica) are a small scanned area on a large empty canvas, and say so (`openslide.bounds-...`). Only
that area is the image here, as in QuPath, and its origin is its place on the canvas.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openslide
import tifffile
from numpy.typing import NDArray

from napari_seamless.errors import InputDamaged, InputUnreadable
from napari_seamless.geometry import Levels, Region, fraction
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.file_access import FileBacked, OpenedFiles
from napari_seamless.io.readers.file_type import not_tiff, require_file
from napari_seamless.io.readers.formats import format_by_suffix
from napari_seamless.io.readers.scenes import Scene, single

WHITE = "FFFFFF"
LARGEST_TILE = 2**26
"""Pixels of a tile. OpenSlide decodes tiles whole, and ends the process where there is no memory for one."""


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


class OpenSlideSource(FileBacked):
    """A slide through OpenSlide: (3, y, x) uint8. Any thread; picklable (opened again from its path)."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files = OpenedFiles.of(path, *files_of(path))
        try:
            self._slide = openslide.OpenSlide(path)
        except openslide.OpenSlideUnsupportedFormatError:
            raise InputUnreadable(f"{path.name} is in no format that OpenSlide knows") from None
        except openslide.OpenSlideError as problem:
            raise InputDamaged(f"a slide must be complete; {path.name}: {problem}; copy it again") from problem
        _check_tiles(path, self._slide)
        self._bounds = _bounds(self._slide)
        self._info = _info(path, self._slide, self._bounds, self._files.identity)
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
        factor = self._slide.level_downsamples[level]  # what OpenSlide divides a position by
        y, x = (first + round(lo * factor) for lo, first in zip(region.start, self._bounds.start, strict=True))
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


def _check_tiles(path: Path, slide: openslide.OpenSlide) -> None:
    """Raises InputDamaged where the slide says that it has tiles that nobody makes."""
    for level in range(slide.level_count):
        sides = (slide.properties.get(f"openslide.level[{level}].tile-{side}", "0") for side in ("height", "width"))
        height, width = (int(side) if side.isdecimal() else 0 for side in sides)
        if height * width > LARGEST_TILE:
            slide.close()
            raise InputDamaged(
                f"tiles of a slide have {LARGEST_TILE} pixels at most; those of {path.name}, level {level}, have "
                f"{height} x {width}; copy or export it again"
            )


def files_of(path: Path) -> list[Path]:
    """The file itself, and those beside it that hold its pixels: a folder of the same name (MRXS), or its neighbours
    (DICOM, Hamamatsu's VMS and VMU)."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs" and path.with_suffix("").is_dir():
        return [path, *sorted(file for file in path.with_suffix("").rglob("*") if file.is_file())]
    if suffix in (".dcm", ".vms", ".vmu"):
        return sorted(file for file in path.parent.iterdir() if file.is_file())
    return [path]


def _over(rgba: NDArray[np.uint8], background: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(y, x, 4) over a plain colour, as (y, x, 3)."""
    colours, weight = rgba[:, :, :3], rgba[:, :, 3:].astype(np.uint32)
    if (weight == 255).all():
        return colours.copy()
    mixed: NDArray[np.uint32] = colours * weight + background * (255 - weight)
    return ((mixed + 127) // 255).astype(np.uint8)


def _bounds(slide: openslide.OpenSlide) -> Region:
    """What was scanned, in level-0 pixels of the canvas: all of this where the slide does not say it, or wrongly."""
    width, height = slide.level_dimensions[0]
    names = (openslide.PROPERTY_NAME_BOUNDS_Y, openslide.PROPERTY_NAME_BOUNDS_HEIGHT,
             openslide.PROPERTY_NAME_BOUNDS_X, openslide.PROPERTY_NAME_BOUNDS_WIDTH)  # fmt: skip
    try:
        top, rows, left, columns = (int(slide.properties[name]) for name in names)
    except (KeyError, ValueError):
        return Region.from_shape((height, width))
    said = Region.of((top, top + max(rows, 0)), (left, left + max(columns, 0)))
    whole = Region.from_shape((height, width))
    return whole if said.is_empty or not whole.contains(said) else said


def _info(path: Path, slide: openslide.OpenSlide, bounds: Region, identity: str) -> ImageInfo:
    sizes = [_number(slide.properties.get(n)) for n in (openslide.PROPERTY_NAME_MPP_Y, openslide.PROPERTY_NAME_MPP_X)]
    pixel_size = tuple(s for s in sizes if s) if all(sizes) else None
    steps = pixel_size or (1.0, 1.0)
    is_cut = bounds.shape != slide.level_dimensions[0][::-1]
    return ImageInfo(
        name=path.name,
        levels=_levels(slide, bounds),
        channels=3,
        dtype=np.dtype(np.uint8),
        identity=identity,
        channel_names=("red", "green", "blue"),
        rgb=True,
        pixel_size=pixel_size,
        origin=tuple(lo * step for lo, step in zip(bounds.start, steps, strict=True)) if is_cut else (),
        format=f"OpenSlide {slide.properties.get(openslide.PROPERTY_NAME_VENDOR, '')}".strip(),
        notices=(_told(path.name, slide, bounds),) if is_cut else (),
    )


def _levels(slide: openslide.OpenSlide, bounds: Region) -> Levels:
    """At OpenSlide's scales; where these are means of ratios of rounded shapes, at the whole number behind them."""
    shapes = tuple((y, x) for x, y in slide.level_dimensions)
    plain = Levels(shapes)
    scales = []
    for level, factor in enumerate(slide.level_downsamples):
        by_shape = plain.scale(level)
        is_rounded = all(abs(float(s) - factor) < 0.01 * factor and s.denominator == 1 for s in by_shape)
        scales.append(by_shape if is_rounded else (fraction(factor),) * 2)
    cut = tuple(
        tuple(max(1, min(n, int(size / s))) for n, size, s in zip(shape, bounds.shape, scale, strict=True))
        for shape, scale in zip(shapes, scales, strict=True)
    )
    return Levels(shapes if bounds.shape == shapes[0] else cut, tuple(scales))


def _told(name: str, slide: openslide.OpenSlide, bounds: Region) -> str:
    width, height = slide.level_dimensions[0]
    (top, left), (rows, columns) = bounds.start, bounds.shape
    return (
        f"{name} is a canvas of {height} x {width} pixels, of which {rows} x {columns} from y {top}, x {left} were "
        "scanned; only these are shown, and pixels count from there, as in QuPath"
    )


def _number(text: str | None) -> float | None:
    """A pixel size; None for what is none."""
    try:
        number = float((text or "").replace(",", "."))
    except ValueError:
        return None
    return number if 0 < number < float("inf") else None
