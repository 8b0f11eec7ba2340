"""Objects that a tile still to be painted shows, or that a polygon which is undecided or unread may overlap."""

from __future__ import annotations

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.polygons.boxes import box_of, shared_sizes, touching
from napari_seamless.postprocess.polygons.stars import Stars
from napari_seamless.postprocess.step import SavedState


class Winners:
    """One thread. A winner is forgotten when every tile that its box touches is painted.

    Then nothing can overlap it any more: boxes that touch do so inside the domain, too, where their centres are, and a
    tile is painted when no undecided or unread polygon can reach it.
    """

    def __init__(self, domain: Region, rays: int, saved: SavedState | None = None) -> None:
        self._domain = box_of(domain)
        self._stars = Stars.empty(rays) if saved is None else Stars.of(saved)
        self._unpainted = np.zeros(0, np.int64) if saved is None else saved["unpainted"]
        self._boxes = self._stars.boxes

    def add(self, stars: Stars) -> None:
        boxes = stars.boxes
        self._stars, self._boxes = Stars.joined([self._stars, stars]), np.concatenate([self._boxes, boxes])
        self._unpainted = np.append(self._unpainted, shared_sizes(boxes, self._domain))

    def near(self, boxes: Ints) -> Stars:
        """Those that touch any of these (n, 2, 2)."""
        return self._stars.take(touching(self._boxes, boxes))

    def painted(self, tile: Region) -> Stars:
        """Those that a tile shows, now that it is painted."""
        box = box_of(tile)
        shown = self.near(box[None])
        self._unpainted -= shared_sizes(self._boxes, box)
        still = self._unpainted > 0
        if not still.all():
            self._stars, self._boxes = self._stars.take(still), self._boxes[still]
            self._unpainted = self._unpainted[still]
        return shown

    def save(self) -> SavedState:
        return {name: a.copy() for name, a in (self._stars.columns | {"unpainted": self._unpainted}).items()}
