"""A real slide to try things on, and images of any size made from it."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from math import floor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Interval, Levels, Region, halved
from napari_seamless.interfaces import CountsReads, ImageInfo, Pixels, Reads, Source
from napari_seamless.io.readers.array import open_arrays
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.derived import DerivedSource
from napari_seamless.io.readers.opener import open_image

SAMPLE = "CMU-1-Small-Region.svs"
COARSEST = 512
SAMPLES = ("slide", "ihc", "gigapixel")
GIGAPIXEL = (50_000, 50_000)
Indices = NDArray[np.int64]


def sample_slide() -> Path:
    """The path of the slide that comes with this package: H&E, 2220 x 2967 pixels, JPEG tiles (CC0-1.0)."""
    return Path(str(files("napari_seamless.io.readers") / "data" / SAMPLE))


def open_sample(name: str) -> Source:
    """One of `SAMPLES`: "slide" (the packaged one), "ihc" (scikit-image's), "gigapixel" (the slide, mirror-tiled)."""
    if name not in SAMPLES:
        raise BadRequest(f"a sample is one of {', '.join(SAMPLES)}; got {name!r}")
    if name == "ihc":
        from skimage.data import immunohistochemistry

        pixels = immunohistochemistry()  # type: ignore[no-untyped-call]
        return open_arrays([pixels], axes="yxc", rgb=True, name="immunohistochemistry", identity="skimage ihc")
    slide = open_image(sample_slide())
    return slide if name == "slide" else MirrorTiled(slide, GIGAPIXEL)


class MirrorTiled(DerivedSource):
    """An image of any size: another source's finest level, mirrored at its edges again and again.

    Level 0 is what `numpy.pad(mode="symmetric")` would give behind and below the source. Pixel `i` of a coarser level
    of scale `s` shows level-0 position `floor((i + 1/2) s)`, from the source's coarsest level that is still as fine.
    A read costs what it covers, never more than the whole source. Any thread; picklable when the source is.
    """

    def __init__(self, source: Source, shape: Sequence[int]) -> None:
        size = tuple(int(n) for n in shape)
        if len(size) != source.info.ndim:
            raise BadRequest(f"a tiled image has the axes of its source, {source.info.ndim}; got the shape {size}")
        base = source.info
        self._source = source
        self._info = ImageInfo(
            name=f"{base.name} mirrored to {' x '.join(map(str, size))}",
            levels=Levels(halved(size, COARSEST)),
            channels=base.channels,
            dtype=base.dtype,
            identity=f"mirror-tiled to {size}: {base.identity}",
            channel_names=base.channel_names,
            rgb=base.rgb,
            pixel_size=base.pixel_size,
            unit=base.unit,
            format="mirror-tiled",
        )

    @property
    def info(self) -> ImageInfo:
        return self._info

    @property
    def origin(self) -> Source:
        return self._source

    def origin_region(self, region: Region, level: int) -> tuple[Region, int]:
        """All of the level that is looked at: mirrors lead anywhere in it."""
        del region
        levels = self._source.info.levels
        origin = _coarsest_within(levels, tuple(floor(s) for s in self._info.levels.scale(level)))
        return Region.from_shape(levels.shape(origin)), origin

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, [z,] y, x); `region` is ((z,) y, x) in pixels of `level`."""
        require_inside(self._info.levels.shape(level), region)
        if region.is_empty:
            return np.empty((self._info.channels, *region.shape), self._info.dtype)
        finest = tuple(floor(s) for s in self._info.levels.scale(level))
        origin = _coarsest_within(self._source.info.levels, finest)
        lines = [self._line(axis, interval, level, origin) for axis, interval in enumerate(region.intervals)]
        needed = Region(tuple(Interval(int(i.min()), int(i.max()) + 1) for i in lines))
        pixels = self._source.read(needed, origin)
        for axis, (indices, interval) in enumerate(zip(lines, needed.intervals, strict=True), start=1):
            pixels = _gathered(pixels, indices - interval.lo, axis)
        return pixels

    @property
    def reads(self) -> Reads:
        """What was decoded of the source under it; nothing where that does not count."""
        return self._source.reads if isinstance(self._source, CountsReads) else Reads()

    def _line(self, axis: int, interval: Interval, level: int, origin: int) -> Indices:
        """For each pixel of `interval` on one axis, the pixel of the source's level `origin`."""
        levels = self._source.info.levels
        scale, coarse = self._info.levels.scale(level)[axis], levels.scale(origin)[axis]
        at = (2 * np.arange(interval.lo, interval.hi, dtype=np.int64) + 1) * scale.numerator // (2 * scale.denominator)
        mirrored = mirror(at, levels.shapes[0][axis])
        return np.minimum(mirrored * coarse.denominator // coarse.numerator, levels.shape(origin)[axis] - 1)

    def close(self) -> None:
        """Closes the source under it."""
        self._source.close()


def mirror(at: Indices, size: int) -> Indices:
    """Positions on an endless line, folded into [0, size) by mirrors between pixels (edge pixels come twice).

    >>> mirror(np.arange(7), 3)
    array([0, 1, 2, 2, 1, 0, 0])
    """
    folded = at % (2 * size)
    return np.where(folded < size, folded, 2 * size - 1 - folded)


def _coarsest_within(levels: Levels, scale: Sequence[int]) -> int:
    """The coarsest level whose pixels are no larger than `scale` level-0 pixels on any axis (to 1 in 100)."""

    def fits(level: int) -> bool:
        return all(s * 100 <= w * 101 for s, w in zip(levels.scale(level), scale, strict=True))

    return max(filter(fits, range(len(levels))), default=0)


def _gathered(pixels: Pixels, indices: Indices, axis: int) -> Pixels:
    """`pixels` at `indices` along one axis; runs that only go forward are cut, not gathered one by one."""
    if len(indices) == pixels.shape[axis] and bool((np.diff(indices) == 1).all()):
        return pixels
    return np.take(pixels, indices, axis=axis)
