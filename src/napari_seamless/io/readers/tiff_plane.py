"""One directory of a TIFF file as pixels: which tiles or strips a region needs, read and decoded one by one.

Tiles and strips differ only in size here (a strip is as wide as the image), so both are called *pieces*. The directory
was parsed by tifffile, which also gives the decoder: a pure function of the piece's bytes, safe in any thread. Reading
goes through `ByteFile`, without a shared file position.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Grid, Interval, Region, cells_of
from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.decoded_cache import DecodedCache
from napari_seamless.io.readers.density import DENSEST, is_too_dense
from napari_seamless.io.readers.file_access import ByteFile

END_OF_JPEG = b"\xff\xd9"
# libjpeg paints what is missing in grey and only warns, so that a hole has to be seen in the bytes
HOLE = bytes(16)
HEADER = 8
# what tifffile's decoders and the codecs under them raise for wrong bytes
DAMAGE = (ValueError, RuntimeError, OSError, TypeError, IndexError, KeyError, struct.error, zlib.error)


@dataclass(frozen=True, eq=False)
class TiledPlane:
    """Pixels (separate sample, depth, y, x, contiguous sample) of one directory, in pieces of `cell` (depth, y, x).

    `offsets` and `counts` are indexed (sample, depth, y, x) in C order; a count of 0 is a piece that was never
    written, and holds `nodata` throughout.
    """

    file: ByteFile
    number: int
    shape: tuple[int, int, int, int, int]
    cell: tuple[int, int, int]
    offsets: NDArray[np.int64]
    counts: NDArray[np.int64]
    decode: Callable[..., Any]
    jpeg: dict[str, bytes | None]
    nodata: int | float

    @property
    def grid(self) -> Grid:
        return Grid(self.shape[1:4], self.cell)

    def read_into(self, out: Pixels, region: Region, cache: DecodedCache) -> None:
        """Fills `out` (separate sample, depth, y, x, contiguous sample) with `region` (depth, y, x)."""
        grid = self.grid
        for sample, cell in product(range(self.shape[0]), cells_of(grid.covering(region))):
            pixels = grid.region(cell)
            shared = pixels.intersect(region)
            target = out[sample][shared.slices(region.start)]
            piece = self._piece(sample, cell, cache)
            target[...] = self.nodata if piece is None else piece[shared.slices(pixels.start)]

    def _piece(self, sample: int, cell: tuple[int, ...], cache: DecodedCache) -> Pixels | None:
        """Decoded (depth, y, x, contiguous sample), or None for a piece that was never written."""
        index = int(np.ravel_multi_index((sample, *cell), (self.shape[0], *self.grid.counts)))
        if not self.counts[index]:
            return None
        what = f"piece {cell} of image {self.number} at pixels {self._plane(cell)}"
        return cache.piece((self.number, index), lambda: self._decoded(index, what))

    def _plane(self, cell: tuple[int, ...]) -> Region:
        """The pixels of a cell; without z where there is only one."""
        pixels = self.grid.region(cell)
        return pixels if self.shape[1] > 1 else Region(pixels.intervals[1:])

    def _decoded(self, index: int, what: str) -> Pixels:
        offset = int(self.offsets[index])
        require_behind_header(self.file, offset, what)
        if is_too_dense(prod(self.cell) * self.shape[4], int(self.counts[index])):
            raise InputDamaged(
                f"a piece as large as this fills more than a {DENSEST}th of its pixels' bytes; {self.file.path.name}, "
                f"{what}, has {self.counts[index]} bytes for {self.cell} pixels; do not open it, or save it in tiles"
            )
        data = self.file.read(offset, int(self.counts[index]), what)
        if self.jpeg and data.endswith(HOLE) and not data.rstrip(b"\0").endswith(END_OF_JPEG):
            raise InputDamaged(
                f"every piece of an image must be complete; {self.file.path.name}, {what}, byte {offset}, ends in "
                "zeros (an interrupted copy leaves such holes); copy the file again"
            )
        try:
            piece: Pixels | None = self.decode(data, index, **self.jpeg)[0]
        except DAMAGE as problem:
            raise InputDamaged(
                f"every piece of an image must decode; {self.file.path.name}, {what}, byte {offset}: "
                f"{type(problem).__name__} {problem}; copy or export the file again"
            ) from problem
        if piece is None:
            raise InputDamaged(f"every piece of an image must decode; {self.file.path.name}, {what}, byte {offset}")
        return piece


@dataclass(frozen=True, eq=False)
class RawPlane:
    """A directory whose pixels lie in the file as they are, in one run: only the rows of a region are read.

    So an uncompressed image in one strip of gigabytes costs no more than one in tiles. Same shape as `TiledPlane`.
    """

    file: ByteFile
    number: int
    shape: tuple[int, int, int, int, int]
    offset: int
    stored: np.dtype

    def read_into(self, out: Pixels, region: Region, cache: DecodedCache) -> None:  # noqa: ARG002
        """As `TiledPlane.read_into`; nothing is decoded, so that nothing is cached."""
        depth, rows, columns = region.intervals
        samples, depths, height, width, colours = self.shape
        for sample, z in product(range(samples), range(depth.lo, depth.hi)):
            for part in _pieces_of(rows, max(1, (1 << 24) // (width * colours * self.stored.itemsize))):
                first = (sample * depths + z) * height + part.lo
                pixels = self._rows(first, part.size)
                at = slice(part.lo - rows.lo, part.hi - rows.lo)
                out[sample, z - depth.lo, at] = pixels[:, columns.lo : columns.hi]

    def _rows(self, first: int, count: int) -> Pixels:
        """Whole rows (row, x, contiguous sample), counted through all samples and depths."""
        width, colours = self.shape[3:]
        row = width * colours * self.stored.itemsize
        what = f"rows [{first}, {first + count}) of image {self.number}"
        require_behind_header(self.file, self.offset, what)
        data = self.file.read(self.offset + first * row, count * row, what)
        return np.frombuffer(data, self.stored).reshape(count, width, colours)


def require_behind_header(file: ByteFile, offset: int, what: str) -> None:
    """Raises InputDamaged for pixels that would lie in the first 8 bytes, as those do whose place was never written."""
    if offset < HEADER:
        raise InputDamaged(
            f"a TIFF file must say where each piece lies; {file.path.name}, {what}: got byte {offset}, in its header; "
            "copy or export the file again"
        )


def _pieces_of(rows: Interval, at_most: int) -> Iterator[Interval]:
    return (Interval(lo, min(lo + at_most, rows.hi)) for lo in range(rows.lo, rows.hi, at_most))
