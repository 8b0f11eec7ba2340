"""A roi on the pixels of a result: which of them lie inside, and which objects count.

A pixel lies inside where its centre does. An object counts where its centroid lies inside, and then it counts whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region
from napari_seamless.runs.polygons import Polygons

EDGE_RULE = "an object counts, whole, where its centroid lies inside"


@dataclass(frozen=True, eq=False)
class PlaneMask:
    """A mask (y, x) bool of any resolution, over an image of the `extent` (height, width) in level-0 pixels of which
    pixel o of a result has its centre at o * scale + offset."""

    pixels: NDArray[np.bool_]
    extent: tuple[float, float]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def at(self, rows: NDArray[np.float64], columns: NDArray[np.float64]) -> tuple[NDArray[np.int64], ...]:
        """The row and column of the mask under places on the result."""
        found = []
        for places, size, extent, scale, offset in zip(
            (rows, columns), self.pixels.shape, self.extent, self.scale, self.offset, strict=True
        ):
            index = np.floor((places * scale + offset + 0.5) * size / extent)
            found.append(np.clip(index, 0, size - 1).astype(np.int64))
        return tuple(found)


@dataclass(frozen=True, eq=False)
class RoiPart:
    """One outline of a roi: pixels of `region` (which is not empty) that lie inside `polygons` and `mask`, where these
    are given. In a volume polygons and masks hold for every plane."""

    region: Region
    polygons: Polygons | None = None
    plane_mask: PlaneMask | None = None
    name: str = ""
    classification: str = ""

    @property
    def is_box(self) -> bool:
        return self.polygons is None and self.plane_mask is None

    def mask(self, region: Region) -> NDArray[np.bool_]:
        """Bool of the shape of a region: which of its pixels lie inside. Any thread."""
        inside = np.zeros(region.shape, bool)
        common = region.intersect(self.region)
        if common.is_empty:
            return inside
        window = inside[common.slices(region.start)]
        window[...] = True
        if self.polygons is not None:
            window &= self.polygons.mask(common)
        if self.plane_mask is not None:
            rows, columns = (np.arange(i.lo, i.hi, dtype=np.float64) for i in common.intervals[-2:])
            window &= self.plane_mask.pixels[np.ix_(*self.plane_mask.at(rows, columns))]
        return inside

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) bool: which points (n, axes), such as centroids, lie inside; centres of pixels are whole numbers."""
        low, high = np.array(self.region.start), np.array(self.region.stop)
        inside = np.asarray(((points >= low - 0.5) & (points < high - 0.5)).all(axis=1), bool)
        near = np.flatnonzero(inside)
        if len(near) and self.polygons is not None:
            inside[near] = self.polygons.holds(points[near, -2:])
        if len(near) and self.plane_mask is not None:
            inside[near] &= self.plane_mask.pixels[self.plane_mask.at(points[near, -2], points[near, -1])]
        return inside


@dataclass(frozen=True, eq=False)
class AskedOutput:
    """Which pixels of a result a run was asked for. Implements `wanted_pixels.WantedPixels`."""

    parts: tuple[RoiPart, ...]

    def mask(self, region: Region) -> NDArray[np.bool_]:
        return any_mask(self.parts, region)


def hull(parts: Sequence[RoiPart]) -> Region:
    """The smallest region that holds all parts, of which there is one at least."""
    starts, stops = (np.array([getattr(part.region, end) for part in parts]) for end in ("start", "stop"))
    return Region(tuple(Interval(int(a), int(b)) for a, b in zip(starts.min(0), stops.max(0), strict=True)))


def any_mask(parts: Sequence[RoiPart], region: Region) -> NDArray[np.bool_]:
    """Which pixels of a region lie in any part."""
    inside = np.zeros(region.shape, bool)
    for part in parts:
        common = region.intersect(part.region)
        if not common.is_empty:
            inside[common.slices(region.start)] |= part.mask(common)
    return inside


def any_holds(parts: Sequence[RoiPart], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points lie in any part."""
    inside = np.zeros(len(points), bool)
    for part in parts:
        inside |= part.holds(points)
    return inside


def is_everything(parts: Sequence[RoiPart], shape: Sequence[int]) -> bool:
    """Whether a single part is all of a result of this shape."""
    whole = Region.from_shape(shape)
    return any(part.is_box and part.region == whole for part in parts)


def words(parts: Sequence[RoiPart]) -> str:
    """For a sentence, such as "2 outlines (tumour, stroma)" or "the region y[0, 300) x[0, 300)"."""
    if len(parts) == 1 and parts[0].is_box and not parts[0].name:
        return f"the region {parts[0].region!r}"
    names = [part.name or part.classification for part in parts]
    listed = ", ".join([name for name in names if name][:5])
    dots = ", ..." if sum(bool(name) for name in names) > 5 else ""
    return f"{len(parts)} outline{'s' if len(parts) > 1 else ''}{f' ({listed}{dots})' if listed else ''}"
