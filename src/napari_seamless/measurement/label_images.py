"""Label images that can be measured, and the images under them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, InputMismatch, InputUnreadable, SetPixelSize
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import LabelClass, Pixels, Source
from napari_seamless.io.readers import open_image
from napari_seamless.measurement.measurements import Remark
from napari_seamless.runs.origin import Origin, origin_of
from napari_seamless.store import Store, open_store
from napari_seamless.units import micrometres_in


@dataclass(frozen=True)
class Target:
    """A label image, and what is known of it: its classes, where pixel o lies on its slide (o * scale + offset), which
    chunks of it are finished (None: all of it is), micrometres a pixel and of pixel 0, and which plane ("z") and time
    point ("t") of a stack or series it was made of."""

    source: Source
    name: str
    classes: tuple[LabelClass, ...]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    pixel_size: tuple[float, ...] | None
    origin: tuple[float, ...]
    chunk: tuple[int, ...] | None = None
    finished: NDArray[np.bool_] | None = None
    plane: Mapping[str, int] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.source.info.levels.shape(0)

    def class_name(self, value: int) -> str:
        known = next((c.name for c in self.classes if c.value == value), None)
        return known or LabelClass.default_name(value)


def target_of(
    what: Any, names: tuple[LabelClass, ...], region: Region | None, pixel_size: float | Sequence[float] | None
) -> tuple[Target, Region | None]:
    """Whatever `measure` takes, and the region of it that is wanted. Raises what opening raises, and BadRequest."""
    if isinstance(getattr(what, "store", None), Store):  # a Result, whose module would load torch
        return target_of(what.store, names, what.region if region is None else region, pixel_size)
    if isinstance(what, str | Path):
        try:
            what = open_store(what)
        except InputUnreadable:
            what = _opened(what)
    source = open_image(what)
    info, ndim = source.info, source.info.ndim
    if info.channels != 1 or info.dtype.kind not in "iub" or (isinstance(what, Store) and what.kind != "labels"):
        kind = "an image" if not isinstance(what, Store) else "a result of images"
        raise BadRequest(
            f"only labels are measured, whole numbers in one channel; got {kind} of {info.channels} "
            f"{'channel' if info.channels == 1 else 'channels'} of {info.dtype}; choose a segmentation"
        )
    size, note = _micrometres(source, pixel_size)
    origin = origin_of(what) if isinstance(what, Store) else Origin("", {}, (1.0,) * ndim, (0.0,) * ndim)
    start = what.spec.translation if isinstance(what, Store) else None
    factor = micrometres_in(info.unit) or 1.0
    target = Target(
        source=source,
        name=info.name,
        classes=names or (tuple(what.classes) if isinstance(what, Store) else ()),
        scale=origin.scale,
        offset=origin.offset,
        pixel_size=size,
        origin=(0.0,) * ndim if start is None else tuple(s * factor for s in start),
        chunk=what.grid.cell if isinstance(what, Store) else None,
        plane=origin.plane,
        finished=what.finished.copy() if isinstance(what, Store) and not what.finished.all() else None,
    )
    if note is not None:
        target.remarks.append(note)
    if target.finished is not None:
        target.remarks.append(Remark(f"{target.finished.mean():.0%} of the result is finished; only that is measured"))
    return target, region


def _opened(path: str | Path) -> Source:
    """A label image at a path; of an OME-Zarr image that has labels beside it, it is said which these are."""
    source = open_image(path)
    folder = Path(path) / "labels"
    if folder.is_dir() and (source.info.channels != 1 or source.info.dtype.kind not in "iub"):
        inside = sorted(f.name for f in folder.iterdir() if f.is_dir())
        if inside:
            raise BadRequest(
                f"only labels are measured; {path} is an image with labels beside it; give one of them: "
                f"{', '.join(str(folder / name) for name in inside[:5])}"
            )
    return source


def _micrometres(
    source: Source, given: float | Sequence[float] | None
) -> tuple[tuple[float, ...] | None, Remark | None]:
    """The size of a pixel, and what is to be said where it is not known."""
    info = source.info
    if given is not None:
        sizes = tuple(float(s) for s in given) if isinstance(given, Sequence) else (float(given),) * info.ndim
        if len(sizes) != info.ndim or not all(np.isfinite(s) and s > 0 for s in sizes):
            raise BadRequest(
                f"a pixel size is a positive number of micrometres, one for each of {info.ndim} axes; got {given}"
            )
        return sizes, None
    factor = micrometres_in(info.unit)
    if info.pixel_size is None or factor is None:
        return None, Remark("the size of a pixel is not known, so areas are in pixels", SetPixelSize())
    return tuple(s * factor for s in info.pixel_size), None


@dataclass(frozen=True)
class Light:
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


def image_under(what: Any, target: Target) -> Source:
    """The image (whatever `open_image` takes) that labels were made of: of a stack, or a series, their plane of it.

    Raises what opening raises, and BadRequest where it has no such plane.
    """
    source = open_image(what)
    info = source.info
    plane = {letter: number for letter, number in target.plane.items() if letter not in dict(info.plane)}
    if info.times == 1:
        plane.pop("t", None)
    if info.ndim == len(target.shape):
        plane.pop("z", None)
    return open_image(what, plane=plane) if plane else source


def light_over(source: Source, target: Target) -> Light:
    """Raises InputMismatch where it is not known how image and labels lie on each other."""
    levels = source.info.levels
    if levels.ndim == len(target.shape) and levels.shape(0) == target.shape:
        return Light(source, 0, (1.0,) * levels.ndim, (0.0,) * levels.ndim)
    ends = [o + s * (n - 1) for s, o, n in zip(target.scale, target.offset, target.shape, strict=True)]
    fits = levels.ndim == len(target.shape) and any(s != 1 for s in target.scale)
    if not fits or any(not -1 <= end <= n for end, n in zip(ends, levels.shape(0), strict=True)):
        raise InputMismatch(
            f"an image must have the shape of the labels, {target.shape}, or be the slide that they were made of; got "
            f"{levels.shape(0)}; choose the image that belongs to them"
        )
    level = max(
        k
        for k in range(len(levels))
        if all(float(f) <= s * 1.01 for f, s in zip(levels.scale(k), target.scale, strict=True))
    )
    factors = [float(f) for f in levels.scale(level)]
    return Light(
        source,
        level,
        tuple(s / f for s, f in zip(target.scale, factors, strict=True)),
        tuple((o + 0.5) / f - 0.5 for o, f in zip(target.offset, factors, strict=True)),
    )
