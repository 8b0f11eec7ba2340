"""One plane of a stack, or one time point of a series, as an image of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import ImageInfo, Pixels, Source
from napari_seamless.io.readers.axes import require_inside
from napari_seamless.io.readers.derived import DerivedSource

Plane = Mapping[str, int]
"""The number (from 0) of a time point, of a plane, or of both: {"t": 3, "z": 10}."""

PLANE = "plane"
"""The key of a result's provenance that says which plane or time point it was made of, as `Plane`."""


@runtime_checkable
class TimePoint(Protocol):
    """A source of which another time point can be had. It raises BadRequest where there is none of that number."""

    def at_time(self, time: int) -> Source: ...


@dataclass(frozen=True)
class PlaneOf(DerivedSource):
    """Plane `z` (from 0, of level 0) of a volume, with axes y and x. Any thread; picklable when the volume is.

    A coarser level with fewer planes gives the one that lies over it. `close` closes the volume.
    """

    volume: Source
    z: int

    @property
    def origin(self) -> Source:
        return self.volume

    @cached_property
    def info(self) -> ImageInfo:
        info = self.volume.info
        return replace(
            info,
            levels=info.levels.without(0),
            pixel_size=_known(info.pixel_size),
            origin=info.origin[1:],
            on_slide=None if info.on_slide is None else info.on_slide.without(0),
            identity=f"{info.identity} z {self.z}",
            plane=(*info.plane, ("z", self.z)),
        )

    def origin_region(self, region: Region, level: int) -> tuple[Region, int]:
        levels = self.volume.info.levels
        z = int((self.z - levels.edge(level)[0]) // levels.scale(level)[0])
        z = min(max(z, 0), levels.shape(level)[0] - 1)
        return Region((Interval(z, z + 1), *region.intervals)), level

    def read(self, region: Region, level: int = 0) -> Pixels:
        """A new array (c, y, x); `region` is (y, x) in pixels of `level`. Raises what the volume raises."""
        require_inside(self.info.levels.shape(level), region)
        pixels = self.volume.read(*self.origin_region(region, level))
        return np.ascontiguousarray(pixels[:, 0])

    def close(self) -> None:
        self.volume.close()


def _known(size: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Of a volume's pixel size that of a plane; None where nothing was said of that."""
    return size[1:] if size is not None and all(size[1:]) else None


def on_plane(source: Source, plane: Plane | None) -> Source:
    """The image at a time point ("t") and on a plane ("z"), by their numbers from 0. Raises BadRequest.

    >>> from napari_seamless.io.readers import open_image
    >>> on_plane(open_image(np.zeros((9, 20, 10)), axes="zyx"), {"z": 4}).info.levels
    Levels(shapes=((20, 10),))
    """
    plane = {} if plane is None else {letter.lower(): number for letter, number in plane.items()}
    name = source.info.name
    if unknown := set(plane) - {"t", "z"}:
        raise BadRequest(f"a plane is chosen by its number along t or z; got {', '.join(sorted(unknown))}; use those")
    if "t" in plane:
        if not isinstance(source, TimePoint):
            raise BadRequest(
                f"a time point can be chosen of what has an axis t; got t={plane['t']}; '{name}' "
                f"({source.info.format}) is a single picture; leave t out"
            )
        source = source.at_time(plane["t"])
    if "z" in plane:
        depth = source.info.levels.shapes[0][0] if source.info.ndim == 3 else 0
        if not 0 <= plane["z"] < depth:
            there = f"0 to {depth - 1}" if depth else "none: it is flat"
            raise BadRequest(f"a plane must be in the image; got z={plane['z']}; '{name}' has {there}; choose another")
        source = PlaneOf(source, plane["z"])
    return source
