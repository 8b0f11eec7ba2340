"""Greedy non-maximum suppression over tiles in any order: what is decided, what is not, what can be painted.

The rule on a whole image: take candidates by falling rank; one is an object unless it overlaps an object that was taken
before. Here a candidate has lost as soon as it overlaps a settled winner of higher rank, and has won when nothing
unread can reach it and no undecided candidate of higher rank overlaps it: in both cases the whole image says the same.
Whenever something is settled, what it touches is looked at again, so nothing waits that needs not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.packing import boxes_of, named, part
from napari_seamless.postprocess.polygons.boxes import Bools, box_of, grown, hull, no_boxes, touching
from napari_seamless.postprocess.polygons.contest import Contest
from napari_seamless.postprocess.polygons.open_tiles import OpenStars, restored_tiles, saved_tiles
from napari_seamless.postprocess.polygons.settings import PolygonSettings
from napari_seamless.postprocess.polygons.shapes import objects_of
from napari_seamless.postprocess.polygons.stars import Stars
from napari_seamless.postprocess.polygons.winners import Winners
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, Settled, TileObjects
from napari_seamless.postprocess.unread import Unread


@dataclass(frozen=True, eq=False)
class Part:
    """Polygons of a tile that are compared: which tile, which of its rows, and which of these may be settled."""

    tile: int
    rows: Ints
    active: Bools


class PolygonSettler:
    """A `Settler`."""

    def __init__(self, settings: PolygonSettings, domain: Domain, saved: SavedState | None = None) -> None:
        self._settings, self._domain, self._largest = settings, domain.region, settings.largest_radius
        state = {} if saved is None else {name: part(name, saved) for name in ("unread", "winners", "tiles")}
        self._unread = Unread(domain.region, 2 * self._largest, state.get("unread"))
        self._winners = Winners(domain.region, settings.rays, state.get("winners"))
        self._tiles = restored_tiles(state["tiles"]) if state else []
        self._regions = boxes_of([tile.region for tile in self._tiles], 2)

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.save().values())

    @property
    def undecided(self) -> int:
        return sum(len(tile.stars) for tile in self._tiles)

    def settle(self, candidates: Candidates) -> Settled:
        tile, box = candidates.tile, box_of(candidates.tile)
        _, complete = self._unread.add(tile)
        stars = Stars.of(candidates.columns)
        boxes = stars.boxes
        active = {}
        for number in self._near(grown(box, self._largest)[None]):
            other = self._tiles[number]
            active[number] = other.read(box, self._largest) | touching(other.boxes, hull(boxes))
        around = self._unread.watch(tile.grow([self._largest] * 2))
        unread = self._unread.left_in(grown(boxes, self._largest))
        new = len(self._tiles)
        self._tiles.append(OpenStars(tile, around, stars, boxes, unread, np.zeros(len(stars), bool)))
        self._regions = np.concatenate([self._regions, box[None]])
        surrounded = set(complete.tolist())
        closed = {n for n, other in enumerate(self._tiles) if other.around in surrounded}
        for number in closed:
            self._tiles[number].around = None
        return self._settled(active | {new: np.ones(len(stars), bool)}, closed | {new})

    def flush(self) -> Settled:
        for tile in self._tiles:
            tile.around = None
            tile.unread[:] = 0
        everything = {number: np.ones(len(tile.stars), bool) for number, tile in enumerate(self._tiles)}
        return self._settled(everything, set(everything))

    def save(self) -> SavedState:
        state = named("unread", self._unread.save()) | named("winners", self._winners.save())
        return state | named("tiles", saved_tiles(self._tiles, self._settings.rays))

    def _settled(self, active: dict[int, Bools], closed: set[int]) -> Settled:
        """Decide what can be, beginning with these polygons of these tiles; paint what can be, also tiles `closed`."""
        shown_before: dict[int, Ints] = {}
        won, decided = [Stars.empty(self._settings.rays)], [no_boxes()]
        while parts := self._parts(active):
            for one in parts:
                shown_before.setdefault(one.tile, self._tiles[one.tile].shown_ids)
            winners, changed, looked_at = self._decide(parts)
            self._winners.add(winners)
            won.append(winners)
            decided.append(changed)
            active = self._touched(changed, looked_at)
        objects = Stars.joined(won)
        new, withdrawn = self._shown_since(shown_before, objects.id)
        paintable = self._paint(closed.union(self._near(np.concatenate(decided))))
        return Settled(objects_of(objects, self._domain), objects_of(new, self._domain), withdrawn, paintable)

    def _parts(self, active: dict[int, Bools]) -> list[Part]:
        """The active polygons, and all others that they may overlap; none if none is active."""
        hulls = np.concatenate([no_boxes(), *(hull(self._tiles[n].boxes[rows]) for n, rows in active.items())])
        parts = []
        for number in self._near(hulls):
            boxes = self._tiles[number].boxes
            rows = np.flatnonzero(touching(boxes, hulls))
            parts.append(Part(number, rows, active.get(number, np.zeros(len(boxes), bool))[rows]))
        return [one for one in parts if len(one.rows)]

    def _decide(self, parts: list[Part]) -> tuple[Stars, Ints, dict[int, Bools]]:
        """Compare polygons: which have won, hulls of what is settled, and which others must be looked at because of
        it."""
        tiles = [self._tiles[one.tile] for one in parts]
        pairs = list(zip(tiles, parts, strict=True))
        undecided = Stars.joined([tile.stars.take(one.rows) for tile, one in pairs])
        winners = self._winners.near(np.concatenate([hull(tile.boxes[one.rows[one.active]]) for tile, one in pairs]))
        nothing, count = np.zeros(len(winners), bool), len(undecided)
        contest = Contest(
            stars=Stars.joined([undecided, winners]),
            is_settled=np.arange(count + len(winners)) >= count,
            is_open=np.concatenate([*(tile.unread[one.rows] > 0 for tile, one in pairs), nothing]),
            active=np.concatenate([*(one.active for one in parts), nothing]),
            shown=np.concatenate([*(tile.shown[one.rows] for tile, one in pairs), nothing]),
        )
        won, lost, shown = contest.outcome(self._settings.overlap)
        changed, was_active, at = [], {}, 0
        for tile, one in pairs:
            here = slice(at, at + len(one.rows))
            at += len(one.rows)
            gone = one.rows[won[here] | lost[here]]
            changed.append(hull(tile.boxes[gone]))
            tile.shown[one.rows] = shown[here]
            still = np.ones(len(tile.stars), bool)
            still[gone] = False
            active = np.zeros(len(still), bool)
            active[one.rows] = one.active
            was_active[one.tile] = active[still]
            tile.keep(still)
        return undecided.take(won[:count]), np.concatenate(changed), was_active

    def _touched(self, boxes: Ints, looked_at: dict[int, Bools]) -> dict[int, Bools]:
        """Undecided polygons that touch these boxes, but for those that were just looked at."""
        found = {}
        for number in self._near(boxes):
            rows = touching(self._tiles[number].boxes, boxes)
            found[number] = rows & ~looked_at.get(number, np.zeros(len(rows), bool))
        return found

    def _shown_since(self, before: dict[int, Ints], settled: Ints) -> tuple[Stars, Ints]:
        """Which polygons of these tiles are shown and were not, and the ids of those that were and are no more."""
        new, gone = [Stars.empty(self._settings.rays)], [settled[:0]]
        for number, ids in before.items():
            tile = self._tiles[number]
            new.append(tile.stars.take(tile.shown & ~np.isin(tile.stars.id, ids)))
            gone.append(np.setdiff1d(ids, np.append(tile.shown_ids, settled)))
        return Stars.joined(new), np.concatenate(gone)

    def _paint(self, numbers: set[int]) -> tuple[TileObjects, ...]:
        """Forget those of these tiles that nothing undecided can reach, and say what is in them."""
        done = [n for n in sorted(numbers) if self._tiles[n].around is None and not self._is_touched(n)]
        regions = [self._tiles[n].region for n in done]
        if done:
            gone = set(done)
            self._tiles = [tile for number, tile in enumerate(self._tiles) if number not in gone]
            self._regions = np.delete(self._regions, done, axis=0)
        return tuple(TileObjects(region, self._winners.painted(region).columns) for region in regions)

    def _is_touched(self, number: int) -> bool:
        box = self._regions[number][None]
        return any(touching(self._tiles[other].boxes, box).any() for other in self._near(box))

    def _near(self, boxes: Ints) -> list[int]:
        """The numbers of tiles in which there may be polygons that touch any of these boxes."""
        return [int(n) for n in np.flatnonzero(touching(grown(self._regions, self._largest), boxes))]
