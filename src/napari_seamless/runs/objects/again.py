"""Objects made again of candidates that are kept, with other settings: the network is not run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from napari_seamless.errors import BadRequest, RunCancelled
from napari_seamless.geometry import Grid, Region
from napari_seamless.postprocess.object_table import Ints, ObjectTable, in_order, inside
from napari_seamless.runs.objects.plan import ObjectPlan
from napari_seamless.runs.objects.settling import Chunks, PaintedTile, Settling, around, boxes_of_chunks
from napari_seamless.store import Store

CELLS = 64
"""Along each axis, of what is settled at once for a part: around it a ring of these is needed."""


@dataclass(frozen=True, eq=False)
class RegionObjects:
    """Objects of a `region` of labels: `labels` (y, x) int64 with their ids, and the `table` of those with a centroid
    in it, by rising id."""

    region: Region
    labels: Ints
    table: ObjectTable


def settled_again(
    plan: ObjectPlan,
    candidates: Store,
    region: Region,
    *,
    min_area: float = 0,
    rings: int | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> RegionObjects:
    """The objects of a region of labels as a run with the settings of `plan` gives them, where their candidates are
    there; those smaller than `min_area` pixels are left out. With `rings`, what lies further out than an object reaches
    so many times counts as not there: quick, and a few objects near the edge of the region may be other ones. Any
    thread. Raises RunCancelled, BadRequest."""
    labels, tables = np.zeros(region.shape, np.int64), [ObjectTable.empty(2)]
    for painted, place in painted_again(plan, candidates, region, cancelled, rings):
        shared = place.intersect(region)
        labels[shared.slices(region.start)] = painted.labels[shared.slices(place.start)]
        tables += painted.tables.values()
    every = in_order(tables, 2)
    table = every.take(np.unique(every.id, return_index=True)[1])
    small = table.id[table.area < min_area]
    labels[np.isin(labels, small)] = 0
    return RegionObjects(region, labels, table.take(inside(table, region) & (table.area >= min_area)))


def painted_again(
    plan: ObjectPlan,
    candidates: Store,
    region: Region,
    cancelled: Callable[[], bool] = lambda: False,
    rings: int | None = None,
) -> Iterator[tuple[PaintedTile, Region]]:
    """Tiles that hold the region, and others around it, with their pixels of labels, as they are decided. After so many
    `rings` all the rest is decided."""
    shape = candidates.spec.shape
    grid = Grid(shape, tuple(min(CELLS, size) for size in candidates.grid.cell))
    there = _there(candidates, grid)
    wanted = np.zeros(grid.counts, bool)
    wanted[grid.covering(plan.cells_of(region)).slices()] = True
    settling, ring, reach = Settling(plan, grid, candidates.read), plan.ring(grid), 1
    while (left := wanted & ~settling.painted).any():
        wide = around(left, tuple(reach * n for n in ring))
        reach += 1
        for box in boxes_of_chunks(wide & there & ~settling.fed, grid):
            if cancelled():
                raise RunCancelled("making objects again was cancelled; what was there stays")
            for painted in settling.feed(box):
                yield painted, plan.labels_of(grid.pixels(painted.chunks))
        if wide.all() or reach - 1 == rings:
            for painted in settling.flush():
                yield painted, plan.labels_of(grid.pixels(painted.chunks))
            return


def changed(plan: ObjectPlan, kept_above: float, probability: float | None, overlap: float | None) -> ObjectPlan:
    """The same with other settings. Raises BadRequest for a probability below what was kept."""
    if probability is not None and probability < kept_above:
        raise BadRequest(
            f"objects are made again of what is kept of the network's output, which is what is more likely than "
            f"{kept_above:g}; got a probability of {probability:g}; run the network again for less"
        )
    given = {"probability": probability, "overlap": overlap}
    changes = {name: value for name, value in given.items() if value is not None}
    return replace(plan, step=plan.step.with_settings(**changes))


def _there(candidates: Store, grid: Grid) -> Chunks:
    """Which cells of a grid, each in one chunk of the store, are finished."""
    finished: Chunks = candidates.finished
    for axis, (size, large) in enumerate(zip(grid.cell, candidates.grid.cell, strict=True)):
        finished = np.repeat(finished, large // size, axis=axis)
    return finished[tuple(slice(n) for n in grid.counts)]
