"""Which boxes of a domain are read, while its tiles come in any order."""

from __future__ import annotations

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import SavedState


class Unread:
    """Boxes that are watched until every pixel of them that lies in `region` is read. One thread.

    A box lies within `margin` pixels of a tile, and is watched right after that tile was added: so only tiles that
    still have something unread within that margin need to be remembered.
    """

    def __init__(self, region: Region, margin: int, saved: SavedState | None = None) -> None:
        self._region, self._margin = region, margin
        self._boxes, self._left, self._numbers = np.zeros((0, 2, region.ndim), np.int64), _none(), _none()
        self._tiles, self._around = np.zeros((0, 2, region.ndim), np.int64), _none()
        self._next = 0
        if saved is not None:
            self._boxes, self._left, self._numbers = saved["boxes"], saved["left"], saved["numbers"]
            self._tiles, self._around, self._next = saved["tiles"], saved["around"], int(saved["next"][0])

    def add(self, tile: Region) -> tuple[int | None, Ints]:
        """Count a tile as read. Gives the number of the box around it, `margin` wide, that is watched from now on, and
        those of the boxes of which the tile was the last that was missing.

        Raises BadRequest where the tile is empty, leaves the region or was read before.
        """
        if tile.is_empty or not self._region.contains(tile):
            raise BadRequest(f"a tile must lie inside what is looked at, {self._region!r}; got {tile!r}")
        still = np.isin(self._around, self._numbers)
        self._tiles, self._around = self._tiles[still], self._around[still]
        if _overlaps(self._tiles, tile).any():
            raise BadRequest(f"a tile is read once; got {tile!r}, of which some pixels were read before")
        self._left -= _overlaps(self._boxes, tile)
        complete = self._left == 0
        numbers = self._numbers[complete]
        self._boxes, self._left, self._numbers = (a[~complete] for a in (self._boxes, self._left, self._numbers))
        self._tiles = np.concatenate([self._tiles, _box(tile)])
        around = self.watch(tile.grow([self._margin] * tile.ndim))
        self._around = np.append(self._around, -1 if around is None else around)
        return around, numbers

    def watch(self, box: Region) -> int | None:
        """The number of a box that is watched from now on; None where nothing of it is unread."""
        inside = box.intersect(self._region)
        left = inside.size - int(_overlaps(self._tiles, inside).sum())
        if not left:
            return None
        self._boxes = np.concatenate([self._boxes, _box(inside)])
        self._left, self._numbers = np.append(self._left, left), np.append(self._numbers, self._next)
        self._next += 1
        return self._next - 1

    @property
    def tiles(self) -> Ints:
        """Tiles that were read, (n, 2, ndim): all within `margin` of the one added last, and others."""
        return self._tiles

    def left_in(self, boxes: Ints) -> Ints:
        """How many pixels of boxes (n, 2, ndim) are unread, if each lies within `margin` of the tile added last."""
        whole = np.array([[self._region.start, self._region.stop]])
        inside = np.stack([np.maximum(boxes[:, 0], whole[:, 0]), np.minimum(boxes[:, 1], whole[:, 1])], 1)
        left = np.asarray(np.maximum(inside[:, 1] - inside[:, 0], 0).prod(axis=1))
        if len(boxes):
            hull = np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])
            for start, stop in self._tiles:
                if (start < hull[1]).all() and (stop > hull[0]).all():
                    left -= _overlaps(inside, Region.of(*zip(start.tolist(), stop.tolist(), strict=True)))
        return left

    def save(self) -> SavedState:
        state = {"boxes": self._boxes, "left": self._left, "numbers": self._numbers}
        state |= {"tiles": self._tiles, "around": self._around, "next": np.array([self._next])}
        return {name: array.copy() for name, array in state.items()}


def _none() -> Ints:
    return np.zeros(0, np.int64)


def _box(region: Region) -> Ints:
    return np.array([[region.start, region.stop]], np.int64)


def _overlaps(boxes: Ints, region: Region) -> Ints:
    """Pixels that each box shares with a region."""
    shared = np.minimum(boxes[:, 1], region.stop) - np.maximum(boxes[:, 0], region.start)
    return np.asarray(np.prod(np.maximum(shared, 0), axis=1), np.int64)
