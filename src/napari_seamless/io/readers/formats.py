"""The formats of image files, in the order in which they are tried. One line each; nothing heavy is loaded for them.

A new format is a module of this folder with the two functions of `Reader`, and a line in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol, cast

from napari_seamless.errors import InputUnreadable
from napari_seamless.interfaces import Source
from napari_seamless.io.readers.file_type import not_tiff, not_zarr
from napari_seamless.io.readers.scenes import Scene


class Reader(Protocol):
    """What a module that reads a format offers."""

    def open_file(self, path: Path, axes: str | None, scene: Scene) -> Source:
        """The image at a path; `axes` and `scene` as of `open_image`. Any thread.

        Raises InputUnreadable, with the reason, where it is not of this format, InputDamaged where it is and is
        broken, BadRequest for axes and scenes that cannot be.
        """

    def write_example(self, folder: Path) -> Path:
        """A small image of this format in a folder that exists: every reader is tested on its own."""


@dataclass(frozen=True)
class ImageFormat:
    """A format, and who reads it."""

    title: str
    """Its name in messages; no two have the same."""
    reader: str
    """The name of the module in this folder (`Reader`), imported when its turn comes."""
    suffixes: tuple[str, ...] = ()
    """Endings of names, in lower case; empty where they are those of somebody else's plug-ins."""
    in_napari: tuple[str, ...] = ()
    """Those that napari leaves to this package: the patterns of `readers` in napari.yaml."""
    refusal: Callable[[Path], str] | None = None
    """Why a path is not of this format, by its first bytes or the names in it; "" where it is. None: it shows only
    when the reader tries."""
    by_suffix: bool = False
    """Whether a name decides alone, since other readers would misread what begins as a file of theirs."""
    then: tuple[str, ...] = ()
    """Titles of the formats that are tried where this one refuses a file that is its own."""
    package: str = ""
    """The optional package that it needs."""
    install: str = ""
    """How to get that."""


FORMATS: tuple[ImageFormat, ...] = (
    ImageFormat("zarr", "ome_zarr", (".zarr",), refusal=not_zarr),
    ImageFormat(
        "TIFF",
        "tiff",
        (".svs", ".ome.tif", ".ome.tiff", ".tif", ".tiff", ".btf", ".tf8"),
        in_napari=(".svs", ".ome.tif", ".ome.tiff"),
        refusal=not_tiff,
        then=("OpenSlide",),
    ),
    ImageFormat("picture", "raster", (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")),
    ImageFormat(
        "OpenSlide",
        "openslide",
        SLIDES := (".ndpi", ".mrxs", ".scn", ".bif", ".vms", ".vmu", ".svslide"),
        in_napari=SLIDES,
        by_suffix=True,
        package="openslide",
        install='pip install "napari-seamless[slides]"',
    ),
    ImageFormat("bioio", "bioio", package="bioio", install='pip install "napari-seamless[bioio]"'),
    ImageFormat(
        "aicsimageio",
        "aicsimageio",
        package="aicsimageio",
        install="pip install --no-deps aicsimageio resource-backed-dask-array",
    ),
)


def formats_for(path: Path) -> tuple[ImageFormat, ...]:
    """Those to try on a path, in order: all, unless it is of a kind that the others would only misread."""
    named = format_by_suffix(path)
    if named is not None:
        return (named,)
    for one in FORMATS:
        if one.refusal is not None and not one.refusal(path):
            return (one, *(other for other in FORMATS if other.title in one.then))
    return FORMATS


def format_by_suffix(path: Path) -> ImageFormat | None:
    """The format that a path's name decides alone, if there is one."""
    return next((one for one in FORMATS if one.by_suffix and path.suffix.lower() in one.suffixes), None)


def reader_of(image_format: ImageFormat) -> Reader:
    """The module that reads a format. Raises InputUnreadable where a package that it needs is missing."""
    if image_format.package and find_spec(image_format.package) is None:
        raise InputUnreadable(f"not installed; {image_format.install}")
    return cast(Reader, import_module(f"napari_seamless.io.readers.{image_format.reader}"))


def open_as(image_format: ImageFormat, path: Path, axes: str | None, scene: Scene) -> Source:
    """A path as an image of this format. Raises what `Reader.open_file` does."""
    reason = image_format.refusal(path) if image_format.refusal is not None else ""
    if reason:
        raise InputUnreadable(reason)
    return reader_of(image_format).open_file(path, axes, scene)
