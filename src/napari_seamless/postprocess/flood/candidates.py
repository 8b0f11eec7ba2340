"""What a tile knows of the objects in it: pure, in any thread or process.

A tile is flooded together with pixels around it (`FLOOD_HALO`), of which some may be taken by what is not read. What
that takes in the tile is `open`: the settler asks again when the neighbours are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.geometry import Region
from napari_seamless.postprocess.components.sums import NEVER, ComponentSums
from napari_seamless.postprocess.flood.maps import Bools, FloodMaps, label
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import Candidates, TileOutput

FLOOD_HALO = 16
"""Pixels around a tile that are flooded with it. Any number is right; with more of them less is open."""

FACE = ("place", "number", "level", "steps")
"""Columns of pixels of the tile along its border, that are taken."""
RING = ("place", "number", "taken")
"""Columns of pixels just outside of a tile: whether they are taken by an object of it, or only touch one, of this
number, and are open."""
OPEN = ("place", "height", "number", "level", "steps", "from_place", "claimed", "unread", "at_edge")
"""Columns of open pixels. The neighbour that is taken first has a number, level, steps and place (number 0: there is
none yet). `claimed` is the number of an object of another tile that is known to have the pixel. `unread` counts
neighbours that are not read. Votes follow."""

SOURCE = slice(2, 6)
UNREAD = -1
"""The owner of an open pixel (kernels.py, which is loaded only where there is something to flood)."""
NO_PLACE = NEVER - 1
"""The first marker pixel of what has none."""
SIDES = ((-1, 0), (0, -1), (0, 1), (1, 0))


@dataclass(frozen=True, eq=False)
class Flooded:
    """Arrays over `box`: which of `markers` has each pixel, and at what cost.

    An owner less than 0 is not known, or it is no pixel of an object (kernels.OUTSIDE).
    """

    box: Region
    markers: int
    owner: NDArray[np.int32]
    level: NDArray[np.uint32]
    steps: NDArray[np.int32]

    def at(self, y: Ints, x: Ints) -> tuple[Ints, Ints]:
        """Where pixels of the image are in the arrays."""
        return y - self.box.start[0], x - self.box.start[1]

    def holds(self, y: Ints, x: Ints) -> Bools:
        """Which pixels are in the box."""
        rows, columns = self.box.intervals
        return np.asarray((y >= rows.lo) & (y < rows.hi) & (x >= columns.lo) & (x < columns.hi))


def candidates_of(given: TileOutput, maps: FloodMaps, connectivity: int) -> Candidates:
    """What a tile says. Markers that touch by `connectivity` axes at most are of one object."""
    from napari_seamless.postprocess.flood import kernels

    write, width = given.tile.write, given.domain.shape[1] + 1
    box = write.grow([FLOOD_HALO] * 2).intersect(given.tile.read)
    maps = maps.cut(box.slices(given.tile.read.start))
    flooded = _flooded(maps, box, given.domain.region, connectivity)
    own = write.slices(box.start)
    inside = maps.cut(own)
    numbers, number = np.zeros(flooded.markers + 1, np.int64), np.zeros(write.shape, np.int32)
    count = kernels.renumber(flooded.owner[own], numbers, number)
    edge = _at_edge(given)
    columns: dict[str, NDArray[Any]] = _sums(number, count, inside, edge, given).columns
    columns["runs"] = _runs(number)
    columns["face"] = _face(flooded, numbers, write, width)
    columns["ring"] = _ring(flooded, numbers, write, width)
    columns["open"] = _open(flooded, numbers, inside, edge, write, width)
    return Candidates(write, columns)


def place_of(y: Ints, x: Ints, width: int) -> Ints:
    """A number that rises with raster order. `width` is one more than the image's, so that pixels at the ends of
    successive rows are no neighbours."""
    return np.asarray(y * width + x, np.int64)


def _flooded(maps: FloodMaps, box: Region, domain: Region, connectivity: int) -> Flooded:
    from napari_seamless.postprocess.flood import kernels

    markers, count = label(maps.markers, connectivity)
    sides = [side for a, b in zip(box.intervals, domain.intervals, strict=True) for side in (a.lo > b.lo, a.hi < b.hi)]
    shape = tuple(n + 2 for n in box.shape)
    owner, level, steps = np.zeros(shape, np.int32), np.zeros(shape, np.uint32), np.zeros(shape, np.int32)
    bits = np.ascontiguousarray(maps.height).view(np.uint32)
    kernels.flood_window(bits, maps.foreground, markers, np.array(sides), owner, level, steps)
    inside = (slice(1, -1), slice(1, -1))
    return Flooded(box, count, owner[inside], level[inside], steps[inside])


def _at_edge(given: TileOutput) -> Bools:
    """Pixels of the tile with a neighbour, by a side, that is outside or does not count."""
    write, whole = given.tile.write, given.domain.region
    if given.mask is not None:
        inner = ndimage.binary_erosion(given.mask, border_value=0)
        return np.asarray(~inner[write.slices(given.tile.read.start)])
    edge = np.zeros(write.shape, bool)
    for axis, (span, all_of_it) in enumerate(zip(write.intervals, whole.intervals, strict=True)):
        lines = np.moveaxis(edge, axis, 0)
        lines[0] |= span.lo == all_of_it.lo
        lines[-1] |= span.hi == all_of_it.hi
    return edge


def _sums(number: NDArray[np.int32], count: int, maps: FloodMaps, edge: Bools, given: TileOutput) -> ComponentSums:
    from napari_seamless.postprocess.flood import kernels

    top, left = given.tile.write.start
    ints, boxes = np.zeros((count, 5), np.int64), np.zeros((count, 4), np.int64)
    ints[:, 2], boxes[:, ::2] = NO_PLACE, NO_PLACE
    at_edge, votes = np.zeros(count, bool), np.zeros((count, 1 + maps.class_count), np.int64)
    kernels.add_up(number, maps.markers, edge, maps.probability, maps.classes, ints, boxes, at_edge, votes)
    area, core, first, sum_y, sum_x = ints.T
    y, x = np.divmod(first, number.shape[1])
    first = np.where(first == NO_PLACE, NO_PLACE, (y + top) * given.domain.shape[1] + x + left)
    coordinates = np.stack([sum_y + top * area, sum_x + left * area], 1)
    low, high = boxes[:, ::2] + (top, left), boxes[:, 1::2] + (top, left)
    ones, totals = np.ones(count, np.int64), votes.astype(np.float64)
    return ComponentSums(ones, area, core, first, coordinates, low, high, at_edge, totals)


def _runs(number: NDArray[np.int32]) -> NDArray[np.int32]:
    from napari_seamless.postprocess.flood import kernels

    runs = np.zeros((kernels.runs_of(number, np.zeros((0, 3), np.int32)), 3), np.int32)
    kernels.runs_of(number, runs)
    return runs


def _border_of(region: Region) -> tuple[Ints, Ints]:
    """The outermost pixels of a region in raster order: y and x."""
    rows, columns = region.intervals
    ys, xs = np.arange(rows.lo, rows.hi), np.arange(columns.lo, columns.hi)
    sides = np.unique([columns.lo, columns.hi - 1])
    inner = ys[1:-1]
    lines = [ys[:1].repeat(len(xs)), inner.repeat(len(sides))], [xs, np.tile(sides, len(inner))]
    if len(ys) > 1:
        lines[0].append(ys[-1:].repeat(len(xs)))
        lines[1].append(xs)
    return np.concatenate(lines[0]), np.concatenate(lines[1])


def _face(flooded: Flooded, numbers: Ints, write: Region, width: int) -> Ints:
    y, x = _border_of(write)
    there = flooded.at(y, x)
    taken = flooded.owner[there] > 0
    number = numbers[np.maximum(flooded.owner[there], 0)]
    return rows_of(place_of(y, x, width), number, flooded.level[there], flooded.steps[there])[taken]


def _ring(flooded: Flooded, numbers: Ints, write: Region, width: int) -> Ints:
    y, x = _border_of(write.grow([1] * 2))
    in_box = flooded.holds(y, x)
    y, x = y[in_box], x[in_box]
    owner = flooded.owner[flooded.at(y, x)]
    number = numbers[np.maximum(owner, 0)]
    taken = number > 0
    inner_y, inner_x = (a.clip(i.lo, i.hi - 1) for a, i in zip((y, x), write.intervals, strict=True))
    beside = (inner_y == y) | (inner_x == x)
    inner = numbers[np.maximum(flooded.owner[flooded.at(inner_y, inner_x)], 0)]
    touched = (owner == UNREAD) & beside & (inner > 0)
    rows = rows_of(place_of(y, x, width), np.where(taken, number, inner), taken)
    return np.asarray(rows[taken | touched])


def _open(flooded: Flooded, numbers: Ints, maps: FloodMaps, edge: Bools, write: Region, width: int) -> Ints:
    y, x = np.nonzero(flooded.owner[write.slices(flooded.box.start)] == UNREAD)
    votes = maps.votes_at(y, x)
    columns = np.zeros((len(y), len(OPEN) + votes.shape[1]), np.int64)
    columns[:, OPEN.index("height")] = ordered(maps.height[y, x])
    columns[:, OPEN.index("at_edge")] = edge[y, x]
    columns[:, len(OPEN) :] = votes
    y, x = y + write.start[0], x + write.start[1]
    columns[:, 0] = place_of(y, x, width)
    for step_y, step_x in SIDES:
        other_y, other_x = y + step_y, x + step_x
        inside = np.ones(len(y), bool)
        for at, span in zip((other_y, other_x), write.intervals, strict=True):
            inside &= (at >= span.lo) & (at < span.hi)
        rows = np.flatnonzero(inside)
        there = flooded.at(other_y[rows], other_x[rows])
        rows = rows[flooded.owner[there] > 0]
        there = flooded.at(other_y[rows], other_x[rows])
        places = place_of(other_y[rows], other_x[rows], width)
        sources = rows_of(numbers[flooded.owner[there]], flooded.level[there], flooded.steps[there], places)
        take_sooner(columns, rows, sources)
    return columns


def rows_of(*columns: NDArray[np.generic]) -> Ints:
    """Columns of n numbers as one array, (n, columns)."""
    return np.stack([column.astype(np.int64) for column in columns], 1)


def ordered(height: NDArray[np.float32]) -> Ints:
    """Whole numbers in the order of heights, as `kernels.ordered_bits` gives them."""
    bits = (height + np.float32(0)).view(np.uint32).astype(np.int64)  # adding 0 makes -0 to 0
    return np.asarray(np.where(bits >> 31, 0xFFFFFFFF - bits, bits + 0x80000000), np.int64)


def take_sooner(columns: Ints, rows: Ints, sources: Ints) -> Ints:
    """Replace the sources of these rows of open pixels by others (n, 4) that are taken sooner. A row occurs once. Gives
    which have changed, bool."""
    before = columns[rows, SOURCE]
    is_sooner = before[:, 0] == 0
    decided = is_sooner.copy()
    for column in range(1, 4):
        differs = ~decided & (sources[:, column] != before[:, column])
        is_sooner |= differs & (sources[:, column] < before[:, column])
        decided |= differs
    columns[rows[is_sooner], SOURCE] = sources[is_sooner]
    return np.asarray(is_sooner)
