"""Flows over tiles in any order: what is decided, what is not, what can be painted.

Each tile leaves the particles that it could not decide on (most of them in objects that its edge cuts), and the squares
to which particles of other tiles may come. When a tile comes, the particles around it go on together, and what no
unread pixel can change any more is handed out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.candidates import FlowCandidates
from napari_seamless.postprocess.flows.front import GROWTH, SURE, decided
from napari_seamless.postprocess.flows.open_tiles import OpenFlows, restored_tiles, saved_tiles
from napari_seamless.postprocess.flows.particles import Particles
from napari_seamless.postprocess.flows.places import UnreadGrid
from napari_seamless.postprocess.flows.settings import FlowSettings
from napari_seamless.postprocess.flows.shapes import FlowShapes, runs_of, shapes_of
from napari_seamless.postprocess.flows.squares import FlowSquares
from napari_seamless.postprocess.object_table import Ints, ObjectTable, in_order
from napari_seamless.postprocess.packing import boxes_of, named, part
from napari_seamless.postprocess.step import Candidates, Domain, SavedState, Settled
from napari_seamless.postprocess.unread import Unread


@dataclass(frozen=True)
class Distances:
    """How far, in pixels along an axis, something may matter for something else.

    `judged`: from a tile, what may become final by it. `near`: from a tile, tiles that may have a say in that.
    `largest_hole`: a side of a hole. `around`: an object that has a pixel as its hole is final if nothing within this
    distance of it is open. `watched`: from a tile, what must be known to be read or not.
    """

    judged: int
    near: int
    largest_hole: int
    around: int

    @classmethod
    def of(cls, settings: FlowSettings) -> Distances:
        reach, leap = settings.reach, settings.leap
        judged = reach + 2 * leap + SURE
        return cls(judged, judged + reach + 2 * leap + 2 * SURE, 2 * (reach + GROWTH), reach + GROWTH + SURE + leap)

    @property
    def watched(self) -> int:
        return self.near + self.largest_hole + self.around


class FlowSettler:
    """A `Settler`. What it keeps grows with the border between what is read and what is not: 65 bytes for an undecided
    particle and 48 for an open square, neither of them further from that border than a particle may go and back."""

    def __init__(self, settings: FlowSettings, domain: Domain, saved: SavedState | None = None) -> None:
        self._settings, self._domain, self._distances = settings, domain, Distances.of(settings)
        height, width = domain.shape
        self._shape = height, width
        state = {} if saved is None else {name: part(name, saved) for name in ("unread", "tiles", "shown")}
        self._unread = Unread(domain.region, self._distances.watched, state.get("unread"))
        self._tiles = restored_tiles(state["tiles"]) if state else []
        self._shown = state["shown"]["ids"] if state else np.zeros(0, np.int64)

    @property
    def state_bytes(self) -> int:
        return sum(array.nbytes for array in self.save().values())

    @property
    def undecided(self) -> int:
        return sum(len(tile.particles) for tile in self._tiles)

    def settle(self, candidates: Candidates) -> Settled:
        tile = candidates.tile
        self._unread.add(tile)
        new = FlowCandidates.of(candidates.columns)
        self._tiles.append(OpenFlows(tile, new.particles, new.squares, new.own, new.holes))
        box = tile.grow([self._distances.watched] * 2)
        read = np.array([b for b in self._unread.tiles if box.overlaps(_region(b))], np.int64)
        unread = UnreadGrid.of(self._domain.region, read.reshape(-1, 2, 2))
        near_box = tile.grow([self._distances.near] * 2)
        near = [one for one in self._tiles if one.region.overlaps(near_box)]
        settled, provisional, withdrawn = self._decide(near, unread, tile.grow([self._distances.judged] * 2))
        paintable = tuple(one.paint() for one in near if self._can_be_painted(one))
        self._tiles = [one for one in self._tiles if not one.is_done]
        return Settled(in_order([new.objects, settled], 2), provisional, withdrawn, paintable)

    def flush(self) -> Settled:
        region = self._domain.region
        everything = region.grow([self._distances.judged] * 2)
        settled, provisional, withdrawn = self._decide(self._tiles, UnreadGrid.all_read(region), everything)
        paintable = tuple(tile.paint() for tile in self._tiles if not tile.is_painted)
        self._tiles = []
        return Settled(settled, provisional, withdrawn, paintable)

    def save(self) -> SavedState:
        state = named("unread", self._unread.save()) | named("tiles", saved_tiles(self._tiles))
        return state | {"shown.ids": self._shown.copy()}

    def _decide(
        self, near: list[OpenFlows], unread: UnreadGrid, judged: Region
    ) -> tuple[ObjectTable, ObjectTable, Ints]:
        """Let the particles of these tiles go on: (new objects, provisional ones, ids of those that are none)."""
        if not near:
            return ObjectTable.empty(2), ObjectTable.empty(2), self._shown[:0]
        squares = FlowSquares.joined([tile.squares for tile in near])
        order = np.lexsort(squares.at.T[::-1])
        particles = Particles.joined([tile.particles for tile in near])
        result = decided(self._settings, self._shape, particles, squares.take(order), unread, judged)
        is_open = np.zeros(len(squares), bool)
        is_open[order] = result.left_open
        at_particle = at_square = 0
        for tile in near:
            own_particles = slice(at_particle, at_particle + len(tile.particles))
            own_squares = slice(at_square, at_square + len(tile.squares))
            at_particle, at_square = own_particles.stop, own_squares.stop
            done, still_open = result.done[own_particles], is_open[own_squares]
            if done.any() or tile.particles.left.any():
                tile.particles = result.particles.take(np.flatnonzero(~done) + own_particles.start)
            if not still_open.all():
                tile.squares = tile.squares.take(still_open)
        is_object = result.done & (result.peak >= 0)
        objects = self._shapes(result.particles, result.peak, is_object)
        self._keep(near, objects)
        at = np.stack(np.divmod(result.peak, self._shape[1]), 1)
        is_near = ((at >= judged.start) & (at < judged.stop)).all(axis=1)
        provisional = self._shapes(result.particles, result.peak, ~result.done & (result.peak >= 0) & is_near).table
        return objects.table, provisional, self._withdrawn(judged, provisional.id, objects.table.id)

    def _shapes(self, particles: Particles, peak: Ints, rows: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> FlowShapes:
        return shapes_of(self._settings, self._domain, particles.take(rows), peak[rows])

    def _keep(self, near: list[OpenFlows], shapes: FlowShapes) -> None:
        """Note what is painted of new objects."""
        for tile in near if len(shapes.table) else ():
            own, hole = tile.inside(shapes.own_at), tile.inside(shapes.hole_at)
            if own.any():
                tile.own = np.concatenate([tile.own, runs_of(shapes.own_at[own], shapes.own[own], tile.region)])
            if hole.any():
                runs = runs_of(shapes.hole_at[hole], shapes.hole[hole], tile.region)
                tile.holes = np.concatenate([tile.holes, runs])

    def _withdrawn(self, judged: Region, provisional: Ints, settled: Ints) -> Ints:
        """Which provisional objects are none any more; keeps which there are."""
        at = np.stack(np.divmod(self._shown - 1, self._shape[1]), 1)
        looked_at = ((at >= judged.start) & (at < judged.stop)).all(axis=1)
        gone = np.setdiff1d(self._shown[looked_at], np.append(provisional, settled))
        self._shown = np.union1d(self._shown[~looked_at], provisional)
        return gone

    def _can_be_painted(self, tile: OpenFlows) -> bool:
        """Whether no particle of it is undecided, and no object that is can have it as a hole."""
        if tile.is_painted or len(tile.particles):
            return False
        if max(tile.region.shape) >= self._distances.largest_hole:
            return True
        around = tile.region.grow([self._distances.around] * 2)
        if self._unread.left_in(boxes_of([around], 2)).any():
            return False
        box = np.array([around.start, around.stop])
        others = (one.squares.at for one in self._tiles if len(one.squares) and one.region.overlaps(around))
        return not any(((at >= box[0]) & (at < box[1])).all(axis=1).any() for at in others)


def _region(box: Ints) -> Region:
    return Region.of(*zip(*box.tolist(), strict=True))
