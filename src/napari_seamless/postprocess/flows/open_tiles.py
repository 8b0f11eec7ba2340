"""Tiles that are read, with what is undecided in them and what is known of their labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.particles import Particles
from napari_seamless.postprocess.flows.squares import FlowSquares
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.packing import boxes_of, packed, regions_of, unpacked
from napari_seamless.postprocess.step import SavedState, TileObjects


@dataclass(eq=False)
class OpenFlows:
    """A tile; undecided `particles` that start in it, and `squares` of it to which others may still come.

    `own` and `holes` are runs of pixels (m, 3) that objects have (`runs_of`); empty when the tile `is_painted`.
    """

    region: Region
    particles: Particles
    squares: FlowSquares
    own: Ints
    holes: Ints
    is_painted: bool = False

    @property
    def is_done(self) -> bool:
        """Whether nothing of it is needed any more."""
        return self.is_painted and not len(self.particles) and not len(self.squares)

    def inside(self, at: Ints) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        """Which of these pixels (n, 2) lie in it."""
        return np.asarray(((at >= self.region.start) & (at < self.region.stop)).all(axis=1))

    def paint(self) -> TileObjects:
        """What is in it, to be asked once."""
        objects = TileObjects(self.region, {"own": self.own, "holes": self.holes})
        self.own, self.holes, self.is_painted = self.own[:0], self.holes[:0], True
        return objects


def saved_tiles(tiles: Sequence[OpenFlows]) -> SavedState:
    """The tiles as arrays."""
    state: SavedState = {"regions": boxes_of([tile.region for tile in tiles], 2)}
    state["painted"] = np.array([tile.is_painted for tile in tiles], bool)
    state |= packed("own", [tile.own for tile in tiles], 3) | packed("holes", [tile.holes for tile in tiles], 3)
    squares = FlowSquares.joined([tile.squares for tile in tiles])
    state |= {"square_at": squares.at, "square_corner": squares.corner}
    state |= {"squares": np.array([len(tile.squares) for tile in tiles], np.int64)}
    state |= {"particles": np.array([len(tile.particles) for tile in tiles], np.int64)}
    return state | (Particles.joined([tile.particles for tile in tiles]).columns if tiles else {})


def restored_tiles(saved: SavedState) -> list[OpenFlows]:
    """What `saved_tiles` was given."""
    regions = regions_of(saved["regions"])
    if not regions:
        return []
    particles, squares = Particles.of(saved), FlowSquares(saved["square_at"], saved["square_corner"])
    parts = (_slices(saved[name]) for name in ("particles", "squares"))
    runs = (unpacked(name, saved) for name in ("own", "holes"))
    rows = zip(regions, *parts, *runs, saved["painted"].tolist(), strict=True)
    return [
        OpenFlows(region, particles.take(own_particles), squares.take(own_squares), own, holes, painted)
        for region, own_particles, own_squares, own, holes, painted in rows
    ]


def _slices(lengths: Ints) -> list[Ints]:
    """The numbers of the rows of each."""
    return np.split(np.arange(lengths.sum()), np.cumsum(lengths)[:-1])
