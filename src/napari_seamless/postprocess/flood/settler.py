"""From flooded tiles to objects: what is decided, what is not, which tiles can be painted."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.components.open_objects import OpenObjects
from napari_seamless.postprocess.components.open_tiles import OpenTiles
from napari_seamless.postprocess.components.sums import ComponentSums
from napari_seamless.postprocess.flood.candidates import SIDES
from napari_seamless.postprocess.flood.front import (
    ALL_READ,
    N_UNREAD,
    NUMBER,
    OWNER,
    PLACE,
    TAKEN,
    FrontTile,
    restored_front,
    saved_front,
    touching,
)
from napari_seamless.postprocess.flood.objects import objects_of
from napari_seamless.postprocess.flood.open_pixels import Decided, claims_of, flooded_together
from napari_seamless.postprocess.object_table import Ints, in_order
from napari_seamless.postprocess.packing import boxes_of, named, part, regions_of
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, Settled, TileObjects
from napari_seamless.postprocess.unread import Unread

NO_PAIRS = np.zeros((0, 2), np.int64)


class FloodSettler:
    """A `Settler`. An object is settled when nothing that is not read, and no open pixel, can be of it: it is held by
    rows of the front (`FrontTile.held`)."""

    def __init__(self, votes: int, domain: Domain, saved: SavedState | None = None) -> None:
        self._votes, self._domain, self._width = votes, domain, domain.shape[1] + 1
        unread, objects, tiles = (None if saved is None else part(n, saved) for n in ("unread", "objects", "tiles"))
        self._unread = Unread(domain.region, 1, unread)
        self._objects = OpenObjects(2, objects)
        self._tiles = OpenTiles(self._objects, 2, tiles)
        self._front = {} if saved is None else restored_front(part("front", saved))
        self._runs = {} if saved is None else _restored_runs(part("runs", saved))
        self._next = 0 if saved is None else int(saved["next"][0])

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.save().values())

    @property
    def undecided(self) -> int:
        return self._objects.count

    def settle(self, candidates: Candidates) -> Settled:
        tile, columns = candidates.tile, candidates.columns
        around, complete = self._unread.add(tile)
        sums = ComponentSums.of(dict(columns))
        face, ring, opened = (columns[name].copy() for name in ("face", "ring", "open"))
        open_ones = np.unique(np.concatenate([face[:, NUMBER], ring[:, NUMBER], opened[:, OWNER]]))
        open_ones = open_ones[open_ones > 0]
        added = self._objects.add(sums.take(open_ones - 1))
        numbers = np.zeros(len(sums) + 1, np.int64)
        numbers[open_ones] = added
        references = np.where(numbers, -numbers, np.append(0, sums.ids))
        for rows, column in ((face, NUMBER), (ring, NUMBER), (opened, OWNER)):
            rows[:, column] = numbers[rows[:, column]]
        new = FrontTile(tile, ALL_READ if around is None else around, face, ring, opened)
        self._count_unread(new)
        near = touching(self._front.items(), [tile])
        before = {key: self._front[key].held for key in near}
        pairs = [self._meet(new, self._front[key]) for key in near]
        key = self._next
        self._next += 1
        self._front[key], before[key] = new, NO_PAIRS[:0, 0]
        self._runs[tile] = columns["runs"]
        paintable = self._tiles.add(key if len(opened) else None, tile, references[1:])
        at_once = np.setdiff1d(np.arange(len(sums)), open_ones - 1)
        for box in complete.tolist():
            for other in self._front.values():
                other.around = ALL_READ if other.around == box else other.around
        return self._settled({key, *near}, before, added, pairs, sums.take(at_once), paintable)

    def flush(self) -> Settled:
        before = {key: tile.held for key, tile in self._front.items()}
        for tile in self._front.values():
            tile.around, tile.ring = ALL_READ, tile.ring[:0]
            tile.open[:, N_UNREAD] = 0
        return self._settled({*self._front}, before, NO_PAIRS[:0, 0], [], ComponentSums.empty(2), ())

    def save(self) -> SavedState:
        state = named("unread", self._unread.save()) | named("objects", self._objects.save())
        state |= named("tiles", self._tiles.save()) | named("front", saved_front(self._front, self._votes))
        return state | named("runs", _saved_runs(self._runs)) | {"next": np.array([self._next])}

    def _count_unread(self, tile: FrontTile) -> None:
        """How many neighbours of open pixels of a new tile are not read."""
        y, x = np.divmod(tile.open[:, PLACE], self._width)
        rows, columns = tile.region.intervals
        for step_y, step_x in SIDES:
            low = np.stack([y + step_y, x + step_x], 1)
            inside = (low[:, 0] >= rows.lo) & (low[:, 0] < rows.hi) & (low[:, 1] >= columns.lo)
            outside = np.flatnonzero(~inside | (low[:, 1] >= columns.hi))
            low = low[outside]
            tile.open[outside, N_UNREAD] += self._unread.left_in(np.stack([low, low + 1], 1))

    def _meet(self, new: FrontTile, old: FrontTile) -> Ints:
        """Let a new tile and one that touches it know of each other; pairs (n, 2) of objects that are one."""
        pairs = [NO_PAIRS]
        for one, other in ((new, old), (old, new)):
            inside = one.ring_in(other.region, self._width)
            claims = one.ring[inside & (one.ring[:, TAKEN] > 0)]
            pairs.append(other.claim(claims))
            one.ring = one.ring[~inside]
            one.take_sources(other.face, self._width)
        old.count_read(new.region, self._width)
        return np.concatenate(pairs)

    def _decide(self, core: set[int], before: dict[int, Ints]) -> list[Decided]:
        """Flood what is open in some tiles, and in those around where something was decided."""
        decided = []
        core = {key for key in core if len(self._front[key].open)}
        while core:
            held = {key: tile.held for key, tile in self._front.items() if len(tile.open) and key not in before}
            group, now = flooded_together(self._front, core, self._width)
            decided.append(now)
            with_open = [(key, tile) for key, tile in self._front.items() if len(tile.open)]
            near = {*touching(with_open, [self._front[key].region for key in group])} if len(now.rows) else set()
            for key in near:
                self._front[key].take_sources(now.face, self._width)
            before.update({key: held[key] for key in group | near if key in held})
            core = near - group
        return decided

    def _settled(
        self,
        core: set[int],
        before: dict[int, Ints],
        added: Ints,
        pairs: list[Ints],
        at_once: ComponentSums,
        paintable: tuple[TileObjects, ...],
    ) -> Settled:
        """Decide what can be, beginning with some tiles. `before` is what held objects in tiles that have changed."""
        waiting = {key for key, tile in self._front.items() if len(tile.open)}
        for now in self._decide(core, before):
            numbers, sums, which = now.sums(self._width)
            more = self._objects.add(sums)
            added = np.append(added, more)
            claims = claims_of(now)
            pairs += [np.stack([more, numbers], 1), np.stack([more[which[claims[:, 0]]], claims[:, 1]], 1)]
            taken = which >= 0
            self._tiles.add_outside(now.at(self._width)[taken], -more[which[taken]])
        changes = self._objects.join(np.concatenate([NO_PAIRS, *pairs]))
        self._tiles.moved(changes)
        self._objects.open_face(_joined(self._front[key].held for key in before))
        self._objects.close_face(_joined(before.values()))
        numbers, closed = self._objects.take_closed()
        done = [key for key in waiting if not len(self._front[key].open)]
        paintable += self._tiles.close(sorted(done)) + self._tiles.settled(numbers)
        self._forget()
        changed = objects_of(self._objects.sums_of(np.concatenate([added, changes[:, 2]])))
        objects = in_order([objects_of(at_once), objects_of(closed)], 2)
        merged = changes[~np.isin(changes[:, 0], added), 1]
        merged = merged[merged <= _largest_id(self._domain)]
        withdrawn = np.setdiff1d(merged, np.append(changed.id, objects.id))
        return Settled(objects, changed, withdrawn, tuple(self._with_runs(one) for one in paintable))

    def _with_runs(self, objects: TileObjects) -> TileObjects:
        return TileObjects(objects.tile, {**objects.columns, "runs": self._runs.pop(objects.tile)})

    def _forget(self) -> None:
        """Drop what nothing asks for any more."""
        for key, tile in list(self._front.items()):
            if tile.around == ALL_READ:
                tile.face = tile.face[:0]
                if not len(tile.open):
                    del self._front[key]
        if self._objects.is_long:
            lowest = [number for tile in self._front.values() for number in tile.lowest]
            self._objects.forget_below(self._tiles.lowest(min(lowest, default=self._objects.next)))


def _joined(numbers: Iterable[Ints]) -> Ints:
    return np.concatenate([NO_PAIRS[:0, 0], *numbers])


def _largest_id(domain: Domain) -> int:
    return domain.shape[0] * domain.shape[1]


def _saved_runs(runs: dict[Region, NDArray[np.int32]]) -> SavedState:
    lengths = np.array([len(rows) for rows in runs.values()], np.int64)
    rows = np.concatenate([np.zeros((0, 3), np.int32), *runs.values()])
    return {"regions": boxes_of([*runs], 2), "rows": rows, "lengths": lengths}


def _restored_runs(saved: SavedState) -> dict[Region, NDArray[np.int32]]:
    rows = np.split(saved["rows"], np.cumsum(saved["lengths"])[:-1]) if len(saved["lengths"]) else []
    return dict(zip(regions_of(saved["regions"]), rows, strict=True))
