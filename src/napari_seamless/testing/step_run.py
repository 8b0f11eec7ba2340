"""Runs a post-processing step over tiles in one thread, and checks at each step what a `Settler` promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.object_table import Ints, ObjectTable, in_order, with_dense_ids
from napari_seamless.postprocess.step import (
    Candidates,
    Domain,
    PostprocessStep,
    SavedState,
    Settled,
    TileOutput,
    cells_in,
)


@dataclass(frozen=True, eq=False)
class StepResult:
    """Dense labels ([z,] y, x) of the region, the table with the ids that follow from places, and the most bytes that
    the state took between two tiles."""

    labels: Ints
    objects: ObjectTable
    peak_state_bytes: int


class StepRun:
    """A run of a step over an `output`, (c, [z,] y, x), of an image of this `shape`, or a region of it. One thread."""

    def __init__(
        self, step: PostprocessStep, output: Pixels, shape: Sequence[int], region: Region | None = None
    ) -> None:
        whole = Region.from_shape(shape)
        assert cells_in(whole, step.grid).shape == output.shape[1:], "the output has not the cells of such an image"
        self.step, self.domain = step, Domain(tuple(shape), whole if region is None else region)
        self._output = output
        inside = output[(slice(None), *cells_in(self.domain.region, step.grid).slices())]
        self._numbers = tuple(barrier.of(inside, self.domain) for barrier in step.barriers)
        self._settler = step.begin(self.domain)
        self._labels = np.full(self.domain.region.shape, -1, np.int64)
        self._settled: list[ObjectTable] = []
        self._provisional: set[int] = set()
        self._peak = 0

    def given(self, write: Region) -> TileOutput:
        """What the step is given of a tile."""
        tile = self.domain.tile(write, self.step.halo)
        cells = cells_in(tile.read, self.step.grid)
        return TileOutput(self.domain, tile, self._output[(slice(None), *cells.slices())].copy(), self._numbers)

    def add(self, candidates: Candidates) -> None:
        """Settle what was proposed for a tile."""
        self._take(self._settler.settle(candidates))
        self._peak = max(self._peak, self._settler.state_bytes)

    def save(self) -> SavedState:
        """The state of the settler."""
        return self._settler.save()

    def restore(self, saved: SavedState) -> None:
        """Go on with a new settler."""
        self._settler = self.step.begin(self.domain, saved)

    def finish(self) -> StepResult:
        """Flush; every pixel must be painted by then, and nothing provisional any more."""
        self._take(self._settler.flush())
        assert not self._provisional, f"provisional objects are left after flush: {sorted(self._provisional)[:5]}"
        assert (self._labels >= 0).all(), "tiles are left unpainted after flush"
        objects = in_order(self._settled, self._labels.ndim)
        assert (np.diff(objects.id) > 0).all(), "an id was settled twice"
        return StepResult(with_dense_ids(self._labels, objects.id), objects, self._peak)

    def _take(self, settled: Settled) -> None:
        unknown = set(settled.withdrawn.tolist()) - self._provisional
        assert not unknown, f"ids were withdrawn that were not provisional: {sorted(unknown)[:5]}"
        self._provisional -= set(settled.withdrawn.tolist())
        self._provisional |= set(settled.provisional.id.tolist())
        self._provisional -= set(settled.objects.id.tolist())
        self._settled.append(settled.objects)
        known = in_order(self._settled, self._labels.ndim).id
        for objects in settled.paintable:
            place = objects.tile.slices(self.domain.region.start)
            assert (self._labels[place] == -1).all(), f"{objects.tile!r} can be painted twice"
            painted = self.step.paint(objects, self.given(objects.tile) if self.step.paints_from_output else None)
            assert np.isin(painted[painted > 0], known).all(), f"{objects.tile!r} has ids that are not settled"
            self._labels[place] = painted


def run_step(
    step: PostprocessStep,
    output: Pixels,
    shape: Sequence[int],
    writes: Sequence[Region],
    region: Region | None = None,
) -> StepResult:
    """All of a step, over these tiles in their order."""
    run = StepRun(step, output, shape, region)
    for write in writes:
        run.add(step.propose(run.given(write)))
    return run.finish()


def square_tiles(region: Region, size: int) -> list[Region]:
    """Tiles of `size` pixels along each axis, in raster order."""
    grid = Grid(region.shape, (size,) * region.ndim)
    return [grid.region(cell).shift(region.start) for cell in cells_of(Region.from_shape(grid.counts))]


def in_order_of(writes: Sequence[Region], order: str, seed: int = 0) -> list[Region]:
    """Tiles in "raster" order as they are, in "random" order, or "view-first": outwards from a place in the image."""
    if order == "random":
        return [writes[k] for k in np.random.default_rng(seed).permutation(len(writes))]
    if order == "view-first":
        view = np.mean([writes[len(writes) // 3].start, writes[-1].stop], axis=0)
        return sorted(writes, key=lambda write: write.distance(view.tolist()))
    return list(writes)
