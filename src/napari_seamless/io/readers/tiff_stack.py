"""From parsed series to planes in (channel, z) order, one stack a level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.axes import MOST_CHANNELS_GUESSED, checked, native
from napari_seamless.io.readers.decoded_cache import DecodedCache
from napari_seamless.io.readers.file_access import ByteFile
from napari_seamless.io.readers.tiff_colours import RGB, YCBCR, Meaning, meaning_of
from napari_seamless.io.readers.tiff_directories import check_directories
from napari_seamless.io.readers.tiff_parsed import Page, Series, TiffImages
from napari_seamless.io.readers.tiff_plane import RawPlane, TiledPlane
from napari_seamless.io.readers.tiff_scenes import loose_levels, shrunk_alike, stored_alike

LARGEST_PIECE = 1 << 31
LARGE = 1 << 26
JPEG = (6, 7, 34892, 33007)
ALPHA = ((1,), (2,))
JPEG2000_YCBCR = 33003


@dataclass(frozen=True, eq=False)
class Stack:
    """One level: planes[channel][z], each of `page` (sample, depth, y, x, colour).

    They are those of one of `times` time points; 0 where the file has no such axis. `stored` is the type in the file,
    and `meaning` what turns its numbers into those of `dtype` that a viewer shows.
    """

    planes: tuple[tuple[TiledPlane | RawPlane, ...], ...]
    page: tuple[int, int, int, int, int]
    stored: np.dtype
    volume: bool
    rgb: bool
    times: int
    meaning: Meaning

    @property
    def dtype(self) -> np.dtype:
        return self.meaning.dtype(self.stored)

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        depth = len(self.planes[0]) * self.page[1]
        return (depth, *self.page[2:4]) if self.volume else self.page[2:4]

    @property
    def channels(self) -> int:
        stored = len(self.planes) * self.page[0] * self.page[4]
        return 3 if self.rgb else stored * self.meaning.channels

    @property
    def piece_bytes(self) -> int:
        """Bytes of the largest decoded piece."""
        cells = [(*p.cell, self.page[4]) for row in self.planes for p in row if isinstance(p, TiledPlane)]
        return max((prod(cell) for cell in cells), default=0) * self.stored.itemsize

    def read(self, region: Region, cache: DecodedCache) -> Pixels:
        """A new array (c, [z,] y, x); memory order is the file's (colours last), so strides may not be C order."""
        z = region.intervals[0] if self.volume else Interval(0, 1)
        y, x = region.intervals[-2:]
        samples, depth, _, _, colours = self.page
        out = np.empty((len(self.planes), samples, z.size, y.size, x.size, colours), self.stored)
        for c, row in enumerate(self.planes):
            for first in range(z.lo // depth * depth, z.hi, depth):
                inside = Interval(max(z.lo, first), min(z.hi, first + depth))
                part = out[c, :, inside.lo - z.lo : inside.hi - z.lo]
                plane = row[first // depth]
                plane.read_into(part, Region((inside.shift(-first), y, x)), cache)
        return self.meaning.shown(self._arranged(out))

    def _arranged(self, out: Pixels) -> Pixels:
        pages, samples, *space, colours = out.shape
        channels = np.moveaxis(out, 5, 2).reshape(pages * samples * colours, *space)[: 3 if self.rgb else None]
        return channels if self.volume else channels[:, 0]


def stacks_of(
    images: TiffImages, files: dict[Path, ByteFile], axes: str | None, number: int = 0, time: int = 0
) -> tuple[Stack, ...]:
    """The levels of one image of a file, finest first; what does not match the finest (a thumbnail) is left out.

    Raises InputUnreadable for what only others read, InputDamaged, and BadRequest for `axes` that cannot be.
    """
    series = images[number]
    numbers = iter(range(1 << 31))
    base = _stack(series, files, axes, numbers, time)
    stacks = [base]
    for level in sorted((*series.coarser(), *loose_levels(images, number)), key=lambda level: -prod(level.shape)):
        if not stored_alike(level, series):
            continue
        stack = _stack(level, files, axes, numbers, time)
        if _is_level(stack, base) and prod(stack.spatial_shape) < prod(stacks[-1].spatial_shape):
            stacks.append(stack)
    return tuple(stacks)


def notices_of(name: str, base: Stack) -> tuple[str, ...]:
    """What to tell the user of the way in which the finest level is stored."""
    planes = [plane for row in base.planes for plane in row if isinstance(plane, TiledPlane)]
    y, x = base.spatial_shape[-2:]
    if not planes or y * x < LARGE or planes[0].cell[2] < x:
        return ()
    rows, height = planes[0].cell[1], planes[0].cell[1] * x * base.page[4] * base.stored.itemsize
    return (
        f"{name} is stored in strips of {rows} x {x} pixels ({height / 1e6:.1f} MB each), which are decoded whole for "
        "every view and tile; save it as tiled TIFF or OME-Zarr to make reading many times faster",
    )


def _is_level(stack: Stack, base: Stack) -> bool:
    """Same channels, no axis larger, and y and x shrunk alike."""
    if stack.channels != base.channels or len(stack.spatial_shape) != len(base.spatial_shape):
        return False
    return shrunk_alike(stack.spatial_shape[-2:], base.spatial_shape[-2:])


def _stack(series: Series, files: dict[Path, ByteFile], axes: str | None, numbers: Iterator[int], time: int) -> Stack:
    directory = series.directory
    dtype = _readable_dtype(series)
    page = directory.shaped
    count = prod(series.shape) // prod(page)
    # without axes of length 1, except y and x
    leading = _leading(series.axes, series.shape, page, axes)
    order = _page_order(leading, count, time)
    planes = _PlaneIndex(series, files, numbers, count)
    rows = tuple(tuple(planes.plane(index) for index in row) for row in order)
    volume = "z" in dict(leading) or page[1] > 1
    colours = page[0] * page[4]
    rgb = directory.photometric in (RGB, YCBCR) and len(rows) == 1 and dtype.itemsize <= 2
    rgb = rgb and (colours == 3 or (colours == 4 and directory.extrasamples[:1] in ALPHA))
    meaning = meaning_of(directory, series.kind, series.path.name)
    if meaning.colours is not None and len(rows) * colours > 1:
        meaning = Meaning(
            told=f"{series.path.name} stores numbers of colours in several channels; they are read as they are"
        )
    rgb = (rgb and not meaning.told) or meaning.channels == 3
    return Stack(rows, page, native(dtype), volume, rgb, dict(leading).get("t", 0), meaning)


def _readable_dtype(series: Series) -> np.dtype[Any]:
    directory, name = series.directory, series.path.name
    if series.is_transformed or series.dtype is None or directory.dtype is None or 0 in directory.shaped:
        raise InputUnreadable(f"{name} holds pixels of a kind that is not read here ({series.kind}, {directory.dtype})")
    if directory.codec_problem is not None:
        raise InputUnreadable(f"{name} is compressed in a way that is not read here: {directory.codec_problem}")
    # OpenSlide converts this kind's colours (JPEG 2000 in YCbCr); tifffile gives them as they are stored
    if directory.compression == JPEG2000_YCBCR and series.kind == "svs":
        raise InputUnreadable(f"{name} is compressed as {directory.compression_name}, which is left to OpenSlide")
    return series.dtype


def _leading(
    letters: str, shape: tuple[int, ...], page: tuple[int, ...], axes: str | None
) -> tuple[tuple[str, int], ...]:
    """Letter and length of each axis that runs over pages, after `axes` or a rule has named the unnamed ones."""
    lengths = [(a.lower(), int(n)) for a, n in zip(letters, shape, strict=True) if n > 1 or a in "YX"]
    if axes is not None:
        lengths = [(a, n) for a, (_, n) in zip(checked(axes, [n for _, n in lengths]), lengths, strict=True)]
        if [n for a, n in lengths if a in "yx"] != list(page[2:4]):
            raise BadRequest(f"axes must leave y and x where the file has them; got {axes!r} for {letters} {shape}")
    own = sum(n > 1 for n in (page[0], page[1], page[4]))
    spatial = [k for k, (a, _) in enumerate(lengths) if a in "yx"]
    inner = own - (len(lengths) - 1 - spatial[-1])
    outer = lengths[: spatial[0] - inner]
    unnamed = [(a, n) for a, n in outer if a not in "czts"]
    guess = "c" if unnamed and unnamed[0][1] <= MOST_CHANNELS_GUESSED else "?"
    if len(unnamed) > 1 or (unnamed and (guess == "?" or any(a == "c" for a, _ in outer))):
        raise BadRequest(
            f"the pages of a TIFF file must say what they are; got axes {letters} of {tuple(shape)}; "
            'say it, for example axes="zyx" (--axes zyx; c channel, z y x space, t time)'
        )
    return tuple((a if a in "zt" else "c", n) for a, n in outer)


def _page_order(leading: tuple[tuple[str, int], ...], count: int, time: int) -> list[list[int]]:
    """Page numbers [channel][z], of a time point."""
    lengths = [n for _, n in leading]
    if prod(lengths) != count:
        raise InputDamaged(f"a TIFF file must have a page for every plane; got {count} pages for {dict(leading)}")
    pages = np.arange(count).reshape(lengths)
    index = tuple(time if a == "t" else slice(None) for a, _ in leading)
    rest = [a for a, _ in leading if a != "t"]
    ordered = pages[index].transpose(sorted(range(len(rest)), key=lambda k: rest[k]))
    depth = dict(leading).get("z", 1)
    return [[int(i) for i in row] for row in ordered.reshape(-1, depth)]


class _PlaneIndex:
    """The planes of a series by page number; only while a file is being opened, in one thread."""

    def __init__(self, series: Series, files: dict[Path, ByteFile], numbers: Iterator[int], count: int) -> None:
        self._series = series
        self._files = files
        self._numbers = numbers
        # one directory may describe many planes that follow each other in the file
        self._single = series.pages != count
        if self._single and not (series.pages == 1 and series.directory.is_contiguous):
            raise InputDamaged(
                f"a TIFF file must have a page for every plane; {series.path.name} has {series.pages} for {count}"
            )

    def plane(self, index: int) -> TiledPlane | RawPlane:
        page, directory = self._series.page(0 if self._single else index), self._series.directory
        if page is None:
            raise InputDamaged(
                f"a set of planes must be complete; plane {index} of {self._series.path.name} is in no file that is "
                "there; put all files of the set beside each other, or export the image again"
            )
        file = self._file(page.path)
        if self._single or (directory.is_contiguous and directory.is_memmappable and not directory.is_tiled):
            return self._raw(page, file, index)
        return self._tiled(page, file)

    def _file(self, path: Path) -> ByteFile:
        """The planes of an OME-TIFF may lie in several files."""
        if path not in self._files:
            self._files[path] = ByteFile(path)
            check_directories(self._files[path])
        return self._files[path]

    def _raw(self, page: Page, file: ByteFile, index: int) -> RawPlane:
        shape, dtype = self._series.directory.shaped, self._series.directory.dtype
        assert dtype is not None
        if not len(page.offsets):
            raise InputDamaged(f"a TIFF file must say where its pixels lie; {file.path.name} does not; copy it again")
        skipped = index * prod(shape) * dtype.itemsize if self._single else 0
        stored = np.dtype(page.byteorder + dtype.char)
        return RawPlane(file, next(self._numbers), shape, int(page.offsets[0]) + skipped, stored)

    def _tiled(self, page: Page, file: ByteFile) -> TiledPlane:
        directory = self._series.directory
        tables = {"jpegtables": page.jpegtables, "jpegheader": directory.jpegheader}
        plane = TiledPlane(
            file=file,
            number=next(self._numbers),
            shape=directory.shaped,
            cell=directory.cell,
            offsets=page.offsets,
            counts=page.counts,
            decode=directory.decode,
            jpeg=tables if directory.compression in JPEG else {},
            nodata=directory.nodata,
        )
        _require_whole(plane)
        return plane


def _require_whole(plane: TiledPlane) -> None:
    name = plane.file.path.name
    if min(plane.cell) < 1:
        raise InputDamaged(f"tiles and strips must hold pixels; those of {name} have {plane.cell}; copy it again")
    expected = plane.shape[0] * plane.grid.size
    if len(plane.offsets) != expected or len(plane.counts) != expected:
        raise InputDamaged(
            f"a TIFF file must say where each piece lies; {name} does for {len(plane.offsets)} pieces of {expected}; "
            "copy or export the file again"
        )
    bytes_decoded = prod(plane.cell) * plane.shape[4]
    if bytes_decoded > LARGEST_PIECE:
        raise InputUnreadable(
            f"a compressed image must be stored in pieces; {name} has {plane.cell} pixels in one; save it as tiled TIFF"
        )
