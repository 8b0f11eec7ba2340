"""Tiles that are read and cannot be painted yet, with the polygons in them of which nothing is decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.packing import boxes_of, packed, regions_of, unpacked
from napari_seamless.postprocess.polygons.boxes import Bools, grown, shared_sizes
from napari_seamless.postprocess.polygons.stars import Stars
from napari_seamless.postprocess.step import SavedState

ALL_READ = -1
"""In a saved state: no box."""


@dataclass(eq=False)
class OpenStars:
    """A tile, and the undecided polygons whose centres lie in it.

    `around` is the number of the box within which a centre can lie of a polygon that reaches the tile, None when all of
    it is read. `boxes` (n, 2, 2) hold the polygons; `unread` counts the pixels where there may be centres of polygons
    that reach them; `shown` are those that would be objects if nothing were unread.
    """

    region: Region
    around: int | None
    stars: Stars
    boxes: Ints
    unread: Ints
    shown: Bools

    def read(self, box: Ints, largest: int) -> Bools:
        """Count a box (2, 2) as read; which polygons nothing unread can reach any more because of it, when no radius
        is larger than `largest`."""
        were_open = self.unread > 0
        self.unread -= shared_sizes(grown(self.boxes, largest), box)
        return np.asarray(were_open & (self.unread == 0))

    def keep(self, rows: Bools) -> None:
        """Forget the other polygons."""
        self.stars, self.boxes = self.stars.take(rows), self.boxes[rows]
        self.unread, self.shown = self.unread[rows], self.shown[rows]

    @property
    def shown_ids(self) -> Ints:
        return self.stars.id[self.shown]


def saved_tiles(tiles: Sequence[OpenStars], rays: int) -> SavedState:
    """The tiles as arrays."""
    around = [ALL_READ if tile.around is None else tile.around for tile in tiles]
    state = {"regions": boxes_of([tile.region for tile in tiles], 2), "around": np.array(around, np.int64)}
    state |= packed("unread", [tile.unread for tile in tiles])
    state["shown"] = np.concatenate([np.zeros(0, bool), *(tile.shown for tile in tiles)])
    return state | Stars.joined([Stars.empty(rays), *(tile.stars for tile in tiles)]).columns


def restored_tiles(saved: SavedState) -> list[OpenStars]:
    """What `saved_tiles` was given."""
    stars, all_unread = Stars.of(saved), unpacked("unread", saved)
    boxes, at = stars.boxes, 0
    tiles = []
    for region, around, unread in zip(regions_of(saved["regions"]), saved["around"].tolist(), all_unread, strict=True):
        rows = np.arange(at, at + len(unread))
        at += len(unread)
        number = None if around == ALL_READ else around
        tiles.append(OpenStars(region, number, stars.take(rows), boxes[rows], unread.copy(), saved["shown"][rows]))
    return tiles
