"""What the coordinate transformations of an OME-Zarr image say: how large its pixels are and where they lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

from napari_seamless.units import MICROMETER, full_name, micrometres_in

NO_UNIT = ("None", "", "pixel", "pixels")
Numbers = tuple[float, ...]
Transforms = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Placement:
    """The spatial axes, (z,) y, x, of an image.

    `sizes` are those of a pixel of each level and `starts` where the centre of its first pixel lies, None for a level
    of which that is not said; both in units of the axes. `pixel_size`, `unit` and `origin` are those of `ImageInfo`.
    """

    sizes: tuple[Numbers, ...]
    starts: tuple[Numbers | None, ...]
    pixel_size: Numbers | None
    unit: str
    origin: Numbers


def placement_of(image: Mapping[str, Any], described: Sequence[Mapping[str, Any]], letters: str) -> Placement | None:
    """What a multiscale says; None where it says no size, or one that cannot be.

    `described` are its axes, and `letters` what these are. Raises ValueError where a transformation has another number
    of axes.
    """
    spatial = [letters.index(letter) for letter in "zyx" if letter in letters]
    whole: Transforms = image.get("coordinateTransformations") or ()
    steps = [dataset.get("coordinateTransformations") or () for dataset in image["datasets"]]
    if not any(step.get("type") == "scale" for step in (*steps[0], *whole)):
        return None
    sizes: list[Numbers] = []
    starts: list[Numbers | None] = []
    for own in steps:
        size, start = _applied((*own, *whole), len(letters))
        is_placed = any(step.get("type") == "translation" for step in own)
        sizes.append(tuple(size[k] for k in spatial))
        starts.append(tuple(start[k] for k in spatial) if is_placed or not starts else None)
    first = starts[0] or (0.0,) * len(spatial)
    if not all(isfinite(n) and n > 0 for n in sizes[0]) or not all(map(isfinite, first)):
        return None
    units = [described[k].get("unit") for k in spatial]
    return Placement(tuple(sizes), tuple(starts), *_in_one_unit(sizes[0], first, units))


def _applied(steps: Transforms, ndim: int) -> tuple[list[float], list[float]]:
    """The scale and the translation of transformations that follow each other."""
    size, start = [1.0] * ndim, [0.0] * ndim
    for step in steps:
        if step.get("type") == "scale" and "scale" in step:
            numbers = [float(n) for n in step["scale"]]
            size = [a * b for a, b in zip(size, numbers, strict=True)]
            start = [a * b for a, b in zip(start, numbers, strict=True)]
        elif step.get("type") == "translation" and "translation" in step:
            start = [a + float(b) for a, b in zip(start, step["translation"], strict=True)]
    return size, start


def _in_one_unit(size: Numbers, start: Numbers, units: Sequence[Any]) -> tuple[Numbers | None, str, Numbers]:
    """Pixel size, unit and origin. The unit is that of x where axes have several; an axis without one has size 0."""
    names = [None if str(unit) in NO_UNIT else full_name(str(unit)) for unit in units]
    if not any(names):
        origin = tuple(at / step for at, step in zip(start, size, strict=True))
        return None, MICROMETER, origin if any(origin) else ()
    unit = next(name for name in reversed(names) if name)
    factors = [_ratio(name, unit) for name in names]
    pixel_size = tuple(step * factor for step, factor in zip(size, factors, strict=True))
    origin = tuple(at * factor for at, factor in zip(start, factors, strict=True))
    return pixel_size, unit, origin if any(origin) else ()


def _ratio(name: str | None, unit: str) -> float:
    """How much of `unit` there is in another one; 0 where that cannot be said."""
    if name == unit:
        return 1.0
    own, other = micrometres_in(name or ""), micrometres_in(unit)
    return own / other if own and other else 0.0
