"""Tiles along the border between what is read and what is not: what their neighbours must know of them.

Places are numbers of pixels (candidates.py); the numbers of objects are those of components in `OpenObjects`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flood.candidates import FACE, OPEN, RING, SIDES, take_sooner
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.packing import boxes_of, packed, regions_of, unpacked
from napari_seamless.postprocess.step import SavedState

ALL_READ = -1
"""In the place of the box around a tile, when all of it is read."""
PLACE, NUMBER, TAKEN, CLAIMED, N_UNREAD = 0, 1, RING.index("taken"), OPEN.index("claimed"), OPEN.index("unread")
OWNER = OPEN.index("number")


@dataclass(eq=False)
class FrontTile:
    """A tile, the number of the box around it, and its rows (candidates.py), each by rising place: `ring` only of what
    is not read, `face` while something around is not, `open` of pixels that are not decided."""

    region: Region
    around: int
    face: Ints
    ring: Ints
    open: Ints

    @property
    def held(self) -> Ints:
        """The numbers of objects that may still get pixels because of this tile; one number can be there often."""
        numbers = np.concatenate([self.ring[:, NUMBER], self.open[:, OWNER], self.open[:, CLAIMED]])
        return numbers[numbers > 0]

    @property
    def lowest(self) -> list[int]:
        """The lowest number of an object that the rows name, if any."""
        numbers = np.concatenate([self.face[:, NUMBER], self.held])
        return [int(numbers.min())] if len(numbers) else []

    def claim(self, ring: Ints) -> Ints:
        """Take rows of a neighbour's ring that lie in this tile: pixels that are of its objects. Gives (n, 2): numbers
        of objects that are one."""
        pairs = []
        at, found = find(self.face[:, PLACE], ring[:, PLACE])
        pairs.append(np.stack([ring[found, NUMBER], self.face[at, NUMBER]], 1))
        at, found = find(self.open[:, PLACE], ring[:, PLACE])
        claimed, numbers = self.open[at, CLAIMED], ring[found, NUMBER]
        pairs.append(np.stack([claimed, numbers], 1)[claimed > 0])
        self.open[at, CLAIMED] = np.where(claimed > 0, claimed, numbers)
        return np.concatenate(pairs)

    def take_sources(self, face: Ints, width: int) -> None:
        """Take rows of pixels that are decided, with numbers, levels and steps: open neighbours of them may be taken
        from there."""
        if not len(self.open) or not len(face):
            return
        for step_y, step_x in SIDES:
            at, found = find(self.open[:, PLACE], face[:, PLACE] + step_y * width + step_x)
            take_sooner(self.open, at, face[found][:, [1, 2, 3, PLACE]])

    def ring_in(self, region: Region, width: int) -> Ints:
        """Which rows of the ring lie in a region, bool."""
        y, x = np.divmod(self.ring[:, PLACE], width)
        rows, columns = region.intervals
        return np.asarray((y >= rows.lo) & (y < rows.hi) & (x >= columns.lo) & (x < columns.hi))

    def count_read(self, region: Region, width: int) -> None:
        """Count a region as read."""
        y, x = np.divmod(self.open[:, PLACE], width)
        rows, columns = region.intervals
        for step_y, step_x in SIDES:
            inside = (y + step_y >= rows.lo) & (y + step_y < rows.hi)
            inside &= (x + step_x >= columns.lo) & (x + step_x < columns.hi)
            self.open[:, N_UNREAD] -= inside


def find(places: Ints, sought: Ints) -> tuple[Ints, Ints]:
    """Where `sought` are in rising `places`, and which of `sought` are there."""
    at = np.searchsorted(places, sought)
    found = np.flatnonzero(at < len(places))
    found = found[places[at[found]] == sought[found]]
    return at[found], found


def touching(tiles: Iterable[tuple[int, FrontTile]], regions: Sequence[Region]) -> list[int]:
    """The keys of tiles that touch any of the regions, by sides or corners."""
    items = list(tiles)
    boxes, grown = boxes_of([tile.region for _, tile in items], 2), boxes_of([r.grow([1, 1]) for r in regions], 2)
    is_near = np.zeros(len(items), bool)
    for box in grown:
        is_near |= ((boxes[:, 0] < box[1]) & (boxes[:, 1] > box[0])).all(axis=1)
    return [key for (key, _), near in zip(items, is_near.tolist(), strict=True) if near]


def saved_front(tiles: dict[int, FrontTile], votes: int) -> SavedState:
    """The tiles as arrays."""
    rows = list(tiles.values())
    state = {"keys": np.array([*tiles], np.int64), "around": np.array([tile.around for tile in rows], np.int64)}
    state |= {"regions": boxes_of([tile.region for tile in rows], 2)}
    state |= packed("face", [tile.face for tile in rows], len(FACE))
    state |= packed("ring", [tile.ring for tile in rows], len(RING))
    return state | packed("open", [tile.open for tile in rows], len(OPEN) + votes)


def restored_front(saved: SavedState) -> dict[int, FrontTile]:
    """What `saved_front` was given."""
    tables = (unpacked(name, saved) for name in ("face", "ring", "open"))
    rows = zip(saved["keys"].tolist(), regions_of(saved["regions"]), saved["around"].tolist(), *tables, strict=True)
    return {key: FrontTile(region, around, face, ring, opened) for key, region, around, face, ring, opened in rows}
