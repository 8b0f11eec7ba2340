"""From tifffile's parsed series to planes in (channel, z) order, one stack a level."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_seamless.errors import BadRequest, InputDamaged, InputUnreadable
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.axes import MOST_CHANNELS_GUESSED, checked, native
from napari_seamless.io.readers.decoded_cache import DecodedCache
from napari_seamless.io.readers.file_access import ByteFile
from napari_seamless.io.readers.tiff_directories import check_directories
from napari_seamless.io.readers.tiff_plane import Plane, RawPlane

LARGEST_PIECE = 1 << 31
LARGE = 1 << 26
JPEG = (6, 7, 34892, 33007)
RGB, YCBCR = 2, 6
ALPHA = (1, 2)


@dataclass(frozen=True, eq=False)
class Stack:
    """One level: planes[channel][z] (None: never written), each of `page` (sample, depth, y, x, colour).

    They are those of one of `times` time points; 0 where the file has no such axis.
    """

    planes: tuple[tuple[Plane | RawPlane | None, ...], ...]
    page: tuple[int, int, int, int, int]
    dtype: np.dtype
    volume: bool
    rgb: bool
    times: int

    @property
    def spatial_shape(self) -> tuple[int, ...]:
        depth = len(self.planes[0]) * self.page[1]
        return (depth, *self.page[2:4]) if self.volume else self.page[2:4]

    @property
    def channels(self) -> int:
        return 3 if self.rgb else len(self.planes) * self.page[0] * self.page[4]

    @property
    def piece_bytes(self) -> int:
        """Bytes of the largest decoded piece."""
        cells = [(*p.cell, self.page[4]) for row in self.planes for p in row if isinstance(p, Plane)]
        return max((prod(cell) for cell in cells), default=0) * self.dtype.itemsize

    def read(self, region: Region, cache: DecodedCache) -> Pixels:
        """A new array (c, [z,] y, x); memory order is the file's (colours last), so strides may not be C order."""
        z = region.intervals[0] if self.volume else Interval(0, 1)
        y, x = region.intervals[-2:]
        samples, depth, _, _, colours = self.page
        out = np.empty((len(self.planes), samples, z.size, y.size, x.size, colours), self.dtype)
        for c, row in enumerate(self.planes):
            for first in range(z.lo // depth * depth, z.hi, depth):
                inside = Interval(max(z.lo, first), min(z.hi, first + depth))
                part = out[c, :, inside.lo - z.lo : inside.hi - z.lo]
                plane = row[first // depth]
                if plane is None:
                    part[...] = 0
                else:
                    plane.read_into(part, Region((inside.shift(-first), y, x)), cache)
        return self._arranged(out)

    def _arranged(self, out: Pixels) -> Pixels:
        pages, samples, *space, colours = out.shape
        channels = np.moveaxis(out, 5, 2).reshape(pages * samples * colours, *space)[: self.channels]
        return channels if self.volume else channels[:, 0]


def stacks_of(
    tiff: tifffile.TiffFile, files: dict[Path, ByteFile], axes: str | None, number: int = 0, time: int = 0
) -> tuple[Stack, ...]:
    """The levels of one image, finest first; what does not match the finest (a thumbnail) is left out."""
    series = tiff.series[number]
    numbers = iter(range(1 << 31))
    base = _stack(series, files, axes, numbers, time)
    stacks = [base]
    for level in sorted((*series.levels[1:], *_loose_levels(tiff)), key=lambda level: -prod(level.shape)):
        if not _stored_alike(level, series):
            continue
        stack = _stack(level, files, axes, numbers, time)
        if _is_level(stack, base) and prod(stack.spatial_shape) < prod(stacks[-1].spatial_shape):
            stacks.append(stack)
    return tuple(stacks)


def notices_of(name: str, base: Stack) -> tuple[str, ...]:
    """What to tell the user of the way in which the finest level is stored."""
    planes = [plane for row in base.planes for plane in row if isinstance(plane, Plane)]
    y, x = base.spatial_shape[-2:]
    if not planes or y * x < LARGE or planes[0].cell[2] < x:
        return ()
    rows, height = planes[0].cell[1], planes[0].cell[1] * x * base.page[4] * base.dtype.itemsize
    return (
        f"{name} is stored in strips of {rows} x {x} pixels ({height / 1e6:.1f} MB each), which are decoded whole for "
        "every view and tile; save it as tiled TIFF or OME-Zarr to make reading many times faster",
    )


def _stored_alike(level: tifffile.TiffPageSeries, base: tifffile.TiffPageSeries) -> bool:
    """Same type and axes, and a page of its own is tiled when the finest level is (a thumbnail often is not)."""
    tiling = level.keyframe.is_subifd or level.keyframe.is_tiled == base.keyframe.is_tiled
    return tiling and np.dtype(level.dtype) == np.dtype(base.dtype) and len(level.axes) == len(base.axes)


def _loose_levels(tiff: tifffile.TiffFile) -> list[tifffile.TiffPageSeries]:
    """Pages that may be levels although tifffile has not put them with the first one (steps other than 2, 3 or 4).

    They say that they are reduced, or are tiled pages of a file without any dialect.
    """
    first = tiff.series[0]
    if first.kind not in ("generic", "uniform", "shaped"):
        return []
    plain = first.kind == "generic"
    return [s for s in tiff.series[1:] if s.keyframe.is_reduced or (plain and s.keyframe.is_tiled)]


def _is_level(stack: Stack, base: Stack) -> bool:
    """Same channels, no axis larger, and y and x shrunk alike (to within a pixel and one percent)."""
    if stack.channels != base.channels or len(stack.spatial_shape) != len(base.spatial_shape):
        return False
    (h0, w0), (h, w) = base.spatial_shape[-2:], stack.spatial_shape[-2:]
    slack = 1 + 0.01 * w
    return h <= h0 and w <= w0 and abs(h / h0 * w0 - w) <= slack + w0 / h0


def _stack(
    series: tifffile.TiffPageSeries,
    files: dict[Path, ByteFile],
    axes: str | None,
    numbers: Iterator[int],
    time: int,
) -> Stack:
    key = series.keyframe
    _require_readable(series, files)
    shape, letters = series.shape, series.axes  # without axes of length 1, except y and x
    page = tuple(int(n) for n in key.shaped)
    count = prod(shape) // prod(page)
    leading = _leading(letters, shape, page, axes)
    order = _page_order(leading, count, time)
    pages = _Pages(series, files, numbers, count)
    planes = tuple(tuple(pages.plane(index) for index in row) for row in order)
    volume = "z" in dict(leading) or page[1] > 1
    colours = page[0] * page[4]
    rgb = key.photometric in (RGB, YCBCR) and len(planes) == 1 and np.dtype(series.dtype).itemsize <= 2
    rgb = rgb and (colours == 3 or (colours == 4 and bool(key.extrasamples) and key.extrasamples[0] in ALPHA))
    return Stack(planes, page, native(np.dtype(series.dtype)), volume, rgb, dict(leading).get("t", 0))  # type: ignore[arg-type]


def _require_readable(series: tifffile.TiffPageSeries, files: dict[Path, ByteFile]) -> None:
    key = series.keyframe
    name = next(iter(files)).name
    if series.transform is not None or key.dtype is None or 0 in key.shaped:
        raise InputUnreadable(f"{name} holds pixels of a kind that is not read here ({series.kind}, {key.dtype})")
    try:
        known = key.compression == 1 or tifffile.TIFF.DECOMPRESSORS[key.compression] is not None
    except KeyError as problem:
        raise InputUnreadable(f"{name} is compressed in a way that is not read here: {problem.args[0]}") from None
    # OpenSlide converts this kind's colours (JPEG 2000 in YCbCr); tifffile gives them as they are stored
    if not known or (key.compression == 33003 and series.kind == "svs"):
        raise InputUnreadable(f"{name} is compressed as {key.compression!r}, which is left to OpenSlide")


def _leading(
    letters: str, shape: tuple[int, ...], page: tuple[int, ...], axes: str | None
) -> tuple[tuple[str, int], ...]:
    """Letter and length of each axis that runs over pages, after `axes` or a rule has named the unnamed ones."""
    kept = [(a.lower(), int(n)) for a, n in zip(letters, shape, strict=True) if n > 1 or a in "YX"]
    if axes is not None:
        kept = [(a, n) for a, (_, n) in zip(checked(axes, [n for _, n in kept]), kept, strict=True)]
        if [n for a, n in kept if a in "yx"] != list(page[2:4]):
            raise BadRequest(f"axes must leave y and x where the file has them; got {axes!r} for {letters} {shape}")
    own = sum(n > 1 for n in (page[0], page[1], page[4]))
    spatial = [k for k, (a, _) in enumerate(kept) if a in "yx"]
    inner = own - (len(kept) - 1 - spatial[-1])
    outer = kept[: spatial[0] - inner]
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


class _Pages:
    """The planes of a series by page number; only while a file is being opened, in one thread."""

    def __init__(
        self, series: tifffile.TiffPageSeries, files: dict[Path, ByteFile], numbers: Iterator[int], count: int
    ) -> None:
        self._series = series
        self._files = files
        self._numbers = numbers
        # one directory may describe many planes that follow each other in the file
        self._single = len(series) != count
        if self._single and not (len(series) == 1 and series.keyframe.is_contiguous):
            raise InputDamaged(
                f"a TIFF file must have a page for every plane; {next(iter(files)).name} has {len(series)} for {count}"
            )

    def plane(self, index: int) -> Plane | RawPlane | None:
        page: Any = self._series[0 if self._single else index]
        if page is None:
            return None
        file = self._file(Path(page.parent.filehandle.path).resolve())
        key = page.keyframe
        if self._single or (key.is_contiguous and key.is_memmappable and not key.is_tiled):
            skipped = index * prod(key.shaped) * key.dtype.itemsize if self._single else 0
            stored = np.dtype(page.parent.byteorder + np.dtype(key.dtype).char)
            return RawPlane(file, next(self._numbers), key.shaped, int(page.dataoffsets[0]) + skipped, stored)
        return self._pieces(page, key, file)

    def _file(self, path: Path) -> ByteFile:
        """The planes of an OME-TIFF may lie in several files."""
        if path not in self._files:
            self._files[path] = ByteFile(path)
            check_directories(self._files[path])
        return self._files[path]

    def _pieces(self, page: Any, key: tifffile.TiffPage, file: ByteFile) -> Plane:
        tiled = bool(key.is_tiled)
        rows = min(int(key.rowsperstrip), key.imagelength)
        cell = (key.tiledepth, key.tilelength, key.tilewidth) if tiled else (1, rows, key.imagewidth)
        plane = Plane(
            file=file,
            number=next(self._numbers),
            shape=key.shaped,
            cell=tuple(int(n) for n in cell),  # type: ignore[arg-type]
            offsets=np.asarray(page.dataoffsets, np.int64),
            counts=np.asarray(page.databytecounts, np.int64),
            decode=key.decode,
            jpeg={"jpegtables": page.jpegtables, "jpegheader": key.jpegheader} if key.compression in JPEG else {},
            nodata=key.nodata,
        )
        _require_whole(plane)
        return plane


def _require_whole(plane: Plane) -> None:
    name = plane.file.path.name
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
