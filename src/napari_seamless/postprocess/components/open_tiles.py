"""Tiles that cannot be painted yet, since an object in them is open or something near them is not read.

What has a pixel is told by a reference: the id of an object (more than 0), or less than 0 the number of a component
(open_objects.py) whose object was open when its tile came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.components.open_objects import OpenObjects
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.packing import boxes_of, packed, regions_of, unpacked
from napari_seamless.postprocess.step import SavedState, TileObjects

CLOSED = -1
"""In the place of the box around a tile, when all of it is read."""


@dataclass(eq=False)
class OpenTile:
    """A tile, the references of its components, and what components of other tiles have in it: pixels of the boundary
    class, (m, d), and their references."""

    region: Region
    components: Ints
    outside_at: Ints
    outside: Ints


class OpenTiles:
    """One thread. A tile waits for the box around it, then for one open object of it after the other."""

    def __init__(self, objects: OpenObjects, ndim: int, saved: SavedState | None = None) -> None:
        self._objects = objects
        self._unread: dict[int, OpenTile] = {}
        self._waiting: dict[int, list[OpenTile]] = {}
        self._outside_at, self._outside = np.zeros((0, ndim), np.int64), np.zeros(0, np.int64)
        if saved is not None:
            self._restore(saved)

    def add(self, around: int | None, region: Region, components: Ints) -> tuple[TileObjects, ...]:
        """Take a tile, and the number of the box around it (None: nothing of it is unread)."""
        tile = OpenTile(region, components, self._outside_at[:0], self._outside[:0])
        if around is None:
            return self._close(tile)
        self._unread[around] = tile
        return ()

    def add_outside(self, at: Ints, references: Ints) -> None:
        """Take pixels (m, d) of the domain that belong to components of a tile in which they do not lie."""
        self._outside_at = np.concatenate([self._outside_at, at])
        self._outside = np.append(self._outside, references)

    def close(self, boxes: Sequence[int]) -> tuple[TileObjects, ...]:
        """The boxes around tiles with these numbers are read (others are passed over); what can be painted now."""
        tiles = [self._unread.pop(number) for number in boxes if number in self._unread]
        return tuple(done for tile in tiles for done in self._close(tile))

    def close_all(self) -> tuple[TileObjects, ...]:
        return self.close(list(self._unread))

    def moved(self, changes: Ints) -> None:
        """Follow what `OpenObjects.join` gave."""
        for before, _, after in changes.tolist():
            if before != after and before in self._waiting:
                self._waiting.setdefault(after, []).extend(self._waiting.pop(before))

    def settled(self, numbers: Ints) -> tuple[TileObjects, ...]:
        """These objects were taken; what can be painted now."""
        tiles = [tile for number in numbers.tolist() for tile in self._waiting.pop(number, ())]
        return tuple(done for tile in tiles for done in self._painted_or_waiting(tile))

    def lowest(self, otherwise: int) -> int:
        """The lowest number of a component that will be asked for."""
        references = [self._outside, *(t.components for t in self._all), *(t.outside for t in self._all)]
        open_ones = [-int(r[r < 0].max()) for r in references if (r < 0).any()]
        return min([otherwise, *open_ones])

    def save(self) -> SavedState:
        tiles = self._all
        numbers = [*self._unread, *[CLOSED] * (len(tiles) - len(self._unread))]
        state = {"around": np.array(numbers, np.int64), "regions": boxes_of([t.region for t in tiles], self._ndim)}
        state |= packed("components", [t.components for t in tiles]) | packed("inside", [t.outside for t in tiles])
        state |= packed("inside_at", [t.outside_at for t in tiles], self._ndim)
        return state | {"outside_at": self._outside_at.copy(), "outside": self._outside.copy()}

    def _restore(self, saved: SavedState) -> None:
        self._outside_at, self._outside = saved["outside_at"], saved["outside"]
        columns = (unpacked(name, saved) for name in ("components", "inside_at", "inside"))
        rows = zip(saved["around"].tolist(), regions_of(saved["regions"]), *columns, strict=True)
        for around, region, components, outside_at, outside in rows:
            tile = OpenTile(region, components, outside_at, outside)
            if around == CLOSED:
                self._painted_or_waiting(tile)  # it waits: else it would have been painted before
            else:
                self._unread[around] = tile

    def _close(self, tile: OpenTile) -> tuple[TileObjects, ...]:
        """All that can have a pixel of the tile has come: take what is in it out of the pixels outside of tiles."""
        inside = ((self._outside_at >= tile.region.start) & (self._outside_at < tile.region.stop)).all(axis=1)
        tile.outside_at, tile.outside = self._outside_at[inside], self._outside[inside]
        self._outside_at, self._outside = self._outside_at[~inside], self._outside[~inside]
        return self._painted_or_waiting(tile)

    def _painted_or_waiting(self, tile: OpenTile) -> tuple[TileObjects, ...]:
        tile.components, tile.outside = self._resolved(tile.components), self._resolved(tile.outside)
        for references in (tile.components, tile.outside):
            if (references < 0).any():
                one = -references[references < 0][:1]
                self._waiting.setdefault(int(self._objects.roots(one)[0]), []).append(tile)
                return ()
        columns = {"components": tile.components, "outside_at": tile.outside_at, "outside": tile.outside}
        return (TileObjects(tile.region, columns),)

    def _resolved(self, references: Ints) -> Ints:
        """The ids of objects where they are known by now."""
        resolved, is_open = references.copy(), references < 0
        ids = self._objects.ids(-references[is_open])
        resolved[is_open] = np.where(ids, ids, references[is_open])
        return resolved

    @property
    def _all(self) -> list[OpenTile]:
        return [*self._unread.values(), *(tile for tiles in self._waiting.values() for tile in tiles)]

    @property
    def _ndim(self) -> int:
        return int(self._outside_at.shape[1])
