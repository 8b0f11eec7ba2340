"""Where labels are measured: what was asked of a result, outlines, a region; of a result that is not finished what is.

Classes are counted by pixels whose centres lie inside. An object counts where its centroid lies inside, and then it is
measured whole: labels are read some way around a roi, and further where an object goes on there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.polygons import Polygons
from napari_seamless.runs.roi_choice import chosen_roi, parts_of_polygons
from napari_seamless.runs.roi_parts import RoiPart

Mask = NDArray[np.bool_]
MARGIN = 64
"""How many pixels around a roi are read at first, for objects that reach out of it."""


def parts_of(labels: LabelImage, region: Region | None, roi: Any) -> tuple[RoiPart, ...]:
    """What is to be measured; () for all of it. Raises BadRequest, InputNotFound, InputUnreadable."""
    if isinstance(roi, Polygons):
        return parts_of_polygons(roi, labels.shape)
    return chosen_roi(labels.source, labels.place, labels.shape, region, roi)[1]


class RoiMargins:
    """What is read for parts of a roi: boxes around them, so large that no object which counts is cut by them."""

    def __init__(self, parts: Sequence[RoiPart], shape: Sequence[int], beyond: int) -> None:
        self._whole = Region.from_shape(shape)
        self._low = np.array([part.region.start for part in parts])
        self._high = np.array([part.region.stop for part in parts])
        self._beyond = beyond
        self.grow(MARGIN + beyond)

    def grow(self, margin: int) -> None:
        self.margin = margin
        size = np.array(self._whole.stop)
        self.low = np.maximum(self._low - margin, 0)
        self.high = np.minimum(self._high + margin, size)

    @property
    def region(self) -> Region:
        """The smallest region that holds all boxes."""
        return Region.of(*zip(self.low.min(0).tolist(), self.high.max(0).tolist(), strict=True))

    def mask(self, region: Region) -> Mask:
        """Which pixels of a region lie in any box."""
        inside = np.zeros(region.shape, bool)
        meets = ((self.low < np.array(region.stop)) & (self.high > np.array(region.start))).all(axis=1)
        for low, high in zip(self.low[meets], self.high[meets], strict=True):
            box = Region.of(*zip(low.tolist(), high.tolist(), strict=True)).intersect(region)
            inside[box.slices(region.start)] = True
        return inside

    def cuts(self, objects: ObjectTable) -> bool:
        """Whether an object that may count goes on outside the boxes."""
        size = np.array(self._whole.stop)
        low = np.maximum(objects.low - 1 - self._beyond, 0)
        high = np.minimum(objects.high + 1 + self._beyond, size)
        for a, b in zip(low, high, strict=True):
            near = ((self._low < b) & (self._high > a)).all(axis=1)
            if near.any() and not ((self.low <= a) & (self.high >= b)).all(axis=1).any():
                return True
        return False


def mask_of(labels: LabelImage, around: RoiMargins | None) -> Callable[[Region], Mask] | None:
    """Which pixels of a region are looked at; None: all of any."""
    if around is not None and len(around.low) == 1:
        around = None  # the region is its only box
    if around is None and labels.finished is None:
        return None

    def mask(region: Region) -> Mask:
        inside = np.ones(region.shape, bool) if around is None else around.mask(region)
        if labels.finished is not None and labels.chunk is not None:
            cells = (np.arange(i.lo, i.hi) // c for i, c in zip(region.intervals, labels.chunk, strict=True))
            inside &= labels.finished[np.ix_(*cells)]
        return inside

    return mask
