"""The image under labels, whose intensities are measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels, Source
from napari_seamless.io.readers import open_image
from napari_seamless.measurement.label_image import LabelImage


@dataclass(frozen=True)
class IntensityImage:
    """An image under labels: label pixel o lies at pixel o * scale + offset of its `level`."""

    source: Source
    level: int
    scale: tuple[float, ...]
    offset: tuple[float, ...]

    @property
    def channels(self) -> int:
        return self.source.info.channels

    @property
    def names(self) -> tuple[str, ...]:
        info = self.source.info
        if info.rgb and info.channels == 3:
            return ("red", "green", "blue")
        return tuple(n or f"channel_{k}" for k, n in enumerate(info.channel_names)) or tuple(
            f"channel_{k}" for k in range(info.channels)
        )

    def read(self, region: Region) -> Pixels:
        """The pixel of the image that is nearest to each label pixel of a region."""
        shape = self.source.info.levels.shape(self.level)
        at = [
            np.clip(np.floor(np.arange(i.lo, i.hi) * s + o + 0.5).astype(np.int64), 0, n - 1)
            for i, s, o, n in zip(region.intervals, self.scale, self.offset, shape, strict=True)
        ]
        box = Region(tuple(Interval(int(a[0]), int(a[-1]) + 1) for a in at))
        pixels = self.source.read(box, self.level)
        if box.shape == region.shape:
            return pixels
        return pixels[np.ix_(range(len(pixels)), *(a - a[0] for a in at))]


def image_under(what: Any, labels: LabelImage) -> Source:
    """The image (whatever `open_image` takes) that labels were made of: of a stack, or a series, their plane of it.

    Raises what opening raises, and BadRequest where it has no such plane.
    """
    source = open_image(what)
    info = source.info
    plane = {letter: number for letter, number in labels.plane.items() if letter not in dict(info.plane)}
    if info.times == 1:
        plane.pop("t", None)
    if info.ndim == len(labels.shape):
        plane.pop("z", None)
    return open_image(what, plane=plane) if plane else source


def intensity_image_over(source: Source, labels: LabelImage) -> IntensityImage:
    """Raises InputMismatch where it is not known how image and labels lie on each other."""
    levels = source.info.levels
    if levels.ndim == len(labels.shape) and levels.shape(0) == labels.shape:
        return IntensityImage(source, 0, (1.0,) * levels.ndim, (0.0,) * levels.ndim)
    ends = [o + s * (n - 1) for s, o, n in zip(labels.scale, labels.offset, labels.shape, strict=True)]
    fits = levels.ndim == len(labels.shape) and any(s != 1 for s in labels.scale)
    if not fits or any(not -1 <= end <= n for end, n in zip(ends, levels.shape(0), strict=True)):
        raise InputMismatch(
            f"an image must have the shape of the labels, {labels.shape}, or be the slide that they were made of; got "
            f"{levels.shape(0)}; choose the image that belongs to them"
        )
    level = max(
        k
        for k in range(len(levels))
        if all(float(f) <= s * 1.01 for f, s in zip(levels.scale(k), labels.scale, strict=True))
    )
    factors = [float(f) for f in levels.scale(level)]
    return IntensityImage(
        source,
        level,
        tuple(s / f for s, f in zip(labels.scale, factors, strict=True)),
        tuple((o - float(e)) / f for o, e, f in zip(labels.offset, levels.offset(level), factors, strict=True)),
    )
