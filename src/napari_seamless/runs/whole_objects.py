"""Objects of a roi, whole, for who reads labels in bands: those whose centroid lies inside."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.runs.roi_parts import EDGE_RULE, RoiPart, any_holds, hull, words

MARGIN = 64
"""How many pixels around a roi are read at first, for objects that reach out of it."""


class WholeObjects:
    """Implements `io.writers.geojson.Within`, of parts of a result of this shape. One thread."""

    def __init__(self, parts: Sequence[RoiPart], shape: Sequence[int]) -> None:
        self._parts, self._whole = parts, Region.from_shape(shape)
        self._hull, self._margin = hull(parts), MARGIN

    @property
    def region(self) -> Region:
        return self._hull.grow([self._margin] * self._hull.ndim).intersect(self._whole)

    @property
    def words(self) -> str:
        return f"{words(self._parts)}; {EDGE_RULE}"

    def cuts(self, bounds: Region) -> bool:
        around = bounds.grow([1] * bounds.ndim).intersect(self._whole)
        return bounds.overlaps(self._hull) and not self.region.contains(around)

    def grow(self) -> None:
        self._margin *= 4

    def holds(self, centroid: tuple[float, float]) -> bool:
        return bool(any_holds(self._parts, np.array([centroid]))[0])
