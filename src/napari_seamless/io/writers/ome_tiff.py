"""A result as a pyramidal OME-TIFF: tiled, compressed, BigTIFF where it is large, one tile in memory at a time.

The levels are SubIFDs of the first one's pages, as the OME-TIFF specification has them. Colours are stored together in
one page; other channels, and planes of a volume, in a page each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tifffile import TiffWriter

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import ImageInfo
from napari_seamless.io.writers.formats import OnProgress
from napari_seamless.io.writers.output_file import Exportable, export_provenance, put_in_place
from napari_seamless.units import symbol_of

TILE = 512
CLASSIC_BYTES = 2 * 10**9
"""Above this size, uncompressed, a file has 64-bit offsets; compressed it would often do without, but nobody knows."""

BUFFER_BYTES = 32 * 2**20
SUFFIXES = (".tif", ".tiff")
PIXEL = "pixel"
"""OME's unit where the size of a pixel is not known."""


def save_ome_tiff(
    result: Exportable, path: str | Path, *, overwrite: bool = False, on_progress: OnProgress | None = None
) -> Path:
    """Save a result, finished or not, as a pyramidal OME-TIFF at `path`; returns the path.

    float16 becomes float32 and whole numbers of 64 bits become uint32, since OME-TIFF knows neither. `on_progress` gets
    (tiles done, tiles in all). Any thread. Raises OutputExists, OutputUnwritable, and BadRequest for another suffix,
    and for numbers of 64 bits that do not fit into 32.
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise BadRequest(f"an OME-TIFF has a name that ends in .ome.tif; got {path.name!r}; try {path.stem}.ome.tif")
    pages = _TileStream(result, on_progress)
    is_large = sum(prod(level.shape) for level in result.levels) * pages.dtype.itemsize > CLASSIC_BYTES
    with put_in_place(path, overwrite=overwrite) as file, TiffWriter(file, bigtiff=is_large, ome=True) as writer:
        for level in range(len(result.levels)):
            writer.write(
                pages.tiles(level),
                shape=pages.shape(level),
                dtype=pages.dtype,
                tile=(TILE, TILE),
                photometric="rgb" if pages.is_rgb else "minisblack",
                planarconfig="contig" if pages.is_rgb else None,
                compression="adobe_deflate",
                predictor=result.kind == "image",
                subifds=0 if level else len(result.levels) - 1,
                subfiletype=1 if level else 0,
                metadata=None if level else _metadata(result, pages.axes),
                buffersize=BUFFER_BYTES,
            )
    return path


class _TileStream:
    """The tiles of every level in the order of the file."""

    def __init__(self, result: Exportable, on_progress: OnProgress | None) -> None:
        self._levels = result.levels
        self._on_progress = on_progress
        self._done = 0
        info = result.info
        self.is_rgb = info.rgb and info.channels == 3
        self._has_channels = len(self._levels[0].shape) > info.ndim
        self.dtype = _storable(info.dtype)
        front = "c" if self._has_channels and not self.is_rgb else ""
        self.axes = (front + "zyx"[-info.ndim :] + ("s" if self.is_rgb else "")).upper()
        self._total = sum(prod(-(-n // TILE) for n in level.shape[-2:]) * self._planes(level) for level in self._levels)

    def shape(self, level: int) -> tuple[int, ...]:
        """Of a level, in the order of the file's axes."""
        shape = tuple(int(n) for n in self._levels[level].shape)
        return (*shape[1:], shape[0]) if self.is_rgb else shape

    def tiles(self, level: int) -> Iterator[NDArray[Any]]:
        """Full tiles, (y, x) or (y, x, 3), padded with zeros at the far edges."""
        array = self._levels[level]
        height, width = array.shape[-2:]
        fronts = array.shape[1:-2] if self.is_rgb else array.shape[:-2]
        for front in product(*map(range, fronts)):
            for y, x in product(range(0, height, TILE), range(0, width, TILE)):
                at = (*front, slice(y, min(y + TILE, height)), slice(x, min(x + TILE, width)))
                yield self._padded(np.asarray(array[(slice(None), *at) if self.is_rgb else at]))

    def _planes(self, level: Any) -> int:
        return prod(level.shape[1:-2] if self.is_rgb else level.shape[:-2])

    def _padded(self, pixels: NDArray[Any]) -> NDArray[Any]:
        self._done += 1
        if self._on_progress is not None:
            self._on_progress(self._done, self._total)
        if pixels.dtype.kind in "iu" and pixels.dtype.itemsize == 8:
            _check_fits(pixels)
        if self.is_rgb:
            pixels = np.moveaxis(pixels, 0, -1)
        missing = [(0, TILE - n) for n in pixels.shape[:2]] + [(0, 0)] * (pixels.ndim - 2)
        return np.ascontiguousarray(np.pad(pixels, missing) if any(m for _, m in missing) else pixels, self.dtype)


def _storable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    if dtype == np.float16:
        return np.dtype(np.float32)
    return np.dtype(np.uint32) if dtype.kind in "iu" and dtype.itemsize == 8 else dtype


def _check_fits(pixels: NDArray[Any]) -> None:
    low, high = int(pixels.min()), int(pixels.max())
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise BadRequest(
            f"whole numbers of 64 bits in an OME-TIFF lie between 0 and {np.iinfo(np.uint32).max}; got "
            f"{low if low < 0 else high}; number them anew, or save them as .ome.zarr"
        )


def _metadata(result: Exportable, axes: str) -> dict[str, Any]:
    info = result.info
    provenance = export_provenance(result)
    found: dict[str, Any] = {
        "axes": axes,
        "Name": info.title if provenance["complete"] else f"{info.title} (partial)",
        "Description": json.dumps(provenance),
    }
    if info.pixel_size is not None:
        for letter, size in zip("ZYX"[-info.ndim :], info.pixel_size, strict=True):
            if size:
                found[f"PhysicalSize{letter}"] = size
                found[f"PhysicalSize{letter}Unit"] = symbol_of(info.unit)
    if any(info.origin):
        found["Plane"] = _places(info)
    if result.kind == "image" and "S" not in axes:
        channels = {"Name": list(info.channel_names), "Color": [_signed(c) for c in info.channel_colours]}
        found["Channel"] = {name: values for name, values in channels.items() if values}
    if result.classes:
        found["MapAnnotation"] = {str(c.value): f"{c.name} {c.colour}" for c in result.classes}
    return found


def _places(info: ImageInfo) -> dict[str, list[Any]]:
    """Where every plane lies, in the order of the planes: depth runs within a channel."""
    depth = info.levels.shape(0)[0] if info.ndim == 3 else 1
    planes = depth * (1 if info.rgb and info.channels == 3 else info.channels)
    sizes = info.pixel_size or (0.0,) * info.ndim
    found: dict[str, list[Any]] = {}
    for letter, at, size in zip("ZYX"[-info.ndim :], info.origin, sizes, strict=True):
        step = (size or 1.0) if letter == "Z" else 0.0
        found[f"Position{letter}"] = [at + step * (plane % depth) for plane in range(planes)]
        found[f"Position{letter}Unit"] = [symbol_of(info.unit) if size else PIXEL] * planes
    return found


def _signed(colour: str) -> int:
    """#rrggbb as OME-XML has it: red, green, blue and alpha as one signed number."""
    return int.from_bytes(bytes.fromhex(colour.removeprefix("#")) + b"\xff", "big", signed=True)
