"""What tifffile finds in a TIFF file, as plain values: all that is asked of tifffile while a file is opened.

tifffile reads tags when they are asked for, and has one error of its own, but where tags contradict each other its
arithmetic fails in any way that arithmetic can. `naming_damage` makes one error of these. It stands round calls of
tifffile and nothing else, so that a fault of this package is seen as what it is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_seamless.errors import InputDamaged

DAMAGE = (
    ValueError, LookupError, TypeError, AttributeError, ArithmeticError, AssertionError, RuntimeError, OSError,
    MemoryError, struct.error,
)  # fmt: skip
"""What tifffile raised for the broken files of `tests/builders/fuzzing.py`; its own TiffFileError is a ValueError."""

RESOLUTION_UNIT, PHOTOMETRIC = 296, 262
LARGEST_SAMPLE = (281, 341)
"""MaxSampleValue and SMaxSampleValue."""
LONGEST_DESCRIPTION = 2**25
"""Characters. OME-XML of a hundred thousand planes has half as many."""
BLACK_IS_ZERO = 1
"""The meaning of pixels where a file has left out to say it."""


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Round calls of tifffile alone: what they raise for broken files becomes InputDamaged."""
    try:
        yield
    except DAMAGE as problem:
        raise InputDamaged(
            f"a TIFF file must be consistent; {path.name}: {type(problem).__name__} {problem}; copy or export it again"
        ) from problem


@dataclass(frozen=True, eq=False)
class Directory:
    """What the directory of a page says of its pixels: (separate sample, depth, y, x, contiguous sample) in `shaped`.

    `decode` makes pixels of the bytes of a tile or strip, in any thread. `dtype` is None for types that numpy lacks,
    and `codec_problem` None where the compression can be undone.
    """

    shaped: tuple[int, int, int, int, int]
    dtype: np.dtype[Any] | None
    photometric: int
    bits: int
    colormap: NDArray[Any] | None
    extrasamples: tuple[int, ...]
    compression: int
    compression_name: str
    codec_problem: str | None
    is_tiled: bool
    is_reduced: bool
    is_subifd: bool
    is_contiguous: bool
    is_memmappable: bool
    cell: tuple[int, int, int]
    nodata: int | float
    decode: Callable[..., Any]
    jpegheader: bytes | None


@dataclass(frozen=True, eq=False)
class Page:
    """Where the pixels of one plane lie: the tiles or strips of a directory."""

    path: Path
    byteorder: str
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    jpegtables: bytes | None


@dataclass(frozen=True, eq=False)
class Series:
    """Pages that are one image, or one level of it. `axes` are upper-case letters, one an axis of `shape`."""

    path: Path
    shape: tuple[int, ...]
    axes: str
    kind: str
    dtype: np.dtype[Any] | None
    is_transformed: bool
    directory: Directory
    pages: int
    inner: tifffile.TiffPageSeries

    def page(self, index: int) -> Page | None:
        """One of its pages; None where none was written. Raises InputDamaged."""
        with naming_damage(self.path):
            page: Any = self.inner[index]
            if page is None:
                return None
            return Page(
                path=Path(page.parent.filehandle.path).resolve(),
                byteorder=page.parent.byteorder,
                offsets=np.asarray(page.dataoffsets, np.int64),
                counts=np.asarray(page.databytecounts, np.int64),
                jpegtables=page.jpegtables,
            )

    def coarser(self) -> list[Series]:
        """The levels that tifffile has found under it."""
        with naming_damage(self.path):
            levels = self.inner.levels[1:]
        return [parsed_series(self.path, level) for level in levels]


@dataclass(frozen=True)
class Metadata:
    """What a file says of an image beside its pixels. `dialect` is "svs", "ome", "imagej",
    "philips" or "" for plain TIFF.

    `resolution` is (x, y) pixels per `resolution_unit`, a value of the tag of that name. `bits` are those of a sample,
    and `largest` are the largest values as two tags give them, None where they are not there.
    """

    dialect: str
    description: str
    ome_xml: str
    philips_xml: str
    imagej: Mapping[str, Any]
    resolution: tuple[float, float]
    resolution_unit: int
    name: str
    images: int
    bits: int
    largest: tuple[object, ...]

    @cached_property
    def ome_images(self) -> list[ElementTree.Element]:
        """The images that the OME-XML describes; none where it is no XML."""
        try:
            return ElementTree.fromstring(self.ome_xml).findall("{*}Image") if self.ome_xml else []
        except ElementTree.ParseError:
            return []


def opened(path: Path) -> tifffile.TiffFile:
    """The file, parsed as far as its first directories. Raises InputDamaged."""
    with naming_damage(path):
        return tifffile.TiffFile(path)


class TiffImages:
    """The images of a file, each parsed when it is asked for; of plain TIFF every kind of page is one. One thread."""

    def __init__(self, path: Path, tiff: tifffile.TiffFile) -> None:
        self._path = path
        with naming_damage(path):
            described = len(tiff.pages.first.description)
        if described > LONGEST_DESCRIPTION:  # which tifffile would parse
            raise InputDamaged(
                f"a TIFF file is described in {LONGEST_DESCRIPTION >> 20} MB at most; {path.name} has "
                f"{described >> 20} MB of OME-XML or other text; export it again without what does not belong there"
            )
        with naming_damage(path):
            self._series = list(tiff.series)
            self.kinds = tuple(str(series.kind) for series in self._series)
            self.names = tuple(str(series.name) for series in self._series)
        if not self._series:
            raise InputDamaged(f"a TIFF file must hold an image; {path.name} holds none; copy or export it again")

    def __len__(self) -> int:
        return len(self._series)

    def __getitem__(self, number: int) -> Series:
        """Raises InputDamaged."""
        return parsed_series(self._path, self._series[number])


def parsed_series(path: Path, series: tifffile.TiffPageSeries) -> Series:
    """A series as plain values. Raises InputDamaged."""
    with naming_damage(path):
        return Series(
            path=path,
            shape=tuple(int(n) for n in series.shape),
            axes=str(series.axes),
            kind=str(series.kind),
            dtype=None if series.dtype is None else np.dtype(series.dtype),
            is_transformed=series.transform is not None,
            directory=_directory(series.keyframe),
            pages=len(series),
            inner=series,
        )


def _directory(page: Any) -> Directory:
    is_tiled = bool(page.is_tiled)
    rows = min(int(page.rowsperstrip), int(page.imagelength))
    cell = (page.tiledepth, page.tilelength, page.tilewidth) if is_tiled else (1, rows, page.imagewidth)
    return Directory(
        shaped=tuple(int(n) for n in page.shaped),  # type: ignore[arg-type]
        dtype=None if page.dtype is None else np.dtype(page.dtype),
        photometric=int(page.photometric) if PHOTOMETRIC in page.tags else BLACK_IS_ZERO,
        bits=int(np.max(page.bitspersample)),
        colormap=page.colormap,
        extrasamples=tuple(int(sample) for sample in page.extrasamples),
        compression=int(page.compression),
        compression_name=repr(page.compression),
        codec_problem=_codec_problem(page.compression),
        is_tiled=is_tiled,
        is_reduced=bool(page.is_reduced),
        is_subifd=bool(page.is_subifd),
        is_contiguous=bool(page.is_contiguous),
        is_memmappable=bool(page.is_memmappable),
        cell=tuple(int(n) for n in cell),  # type: ignore[arg-type]
        nodata=page.nodata,
        decode=page.decode,
        jpegheader=page.jpegheader,
    )


def _codec_problem(compression: Any) -> str | None:
    """Why tifffile cannot undo a compression; None where it can."""
    try:
        known = compression == 1 or tifffile.TIFF.DECOMPRESSORS[compression] is not None
    except KeyError as problem:
        return str(problem.args[0])
    return None if known else f"{compression!r} is not known"


def metadata_of(path: Path, tiff: tifffile.TiffFile, number: int) -> Metadata:
    """What is said of the image of that number. Raises InputDamaged."""
    with naming_damage(path):
        page = tiff.series[number].keyframe
        kinds = {
            "svs": tiff.is_svs,
            "ome": tiff.is_ome and tiff.ome_metadata,
            "imagej": tiff.is_imagej,
            "philips": tiff.is_philips,
        }
        return Metadata(
            dialect=next((kind for kind, is_it in kinds.items() if is_it), ""),
            description=page.description,
            ome_xml=(tiff.ome_metadata or "") if tiff.is_ome else "",
            philips_xml=(tiff.philips_metadata or "") if tiff.is_philips else "",
            imagej=tiff.imagej_metadata or {},
            resolution=page.resolution,
            resolution_unit=int(page.tags.valueof(RESOLUTION_UNIT, default=2)),
            name=str(tiff.series[number].name),
            images=len(tiff.series),
            bits=int(np.max(page.bitspersample)),
            largest=tuple(page.tags.valueof(tag, default=None) for tag in LARGEST_SAMPLE),
        )
