"""In which order the cells of a grid are made.

What is looked at comes first, then what the next small pan would show, then the rest::

    3 3 3 3 3 3 3      1  the view, nearest its centre first
    3 2 2 2 2 2 3      2  its surroundings: one more view on every side, nearest first
    3 2 1 1 1 2 3      3  everything else that is wanted, along a Morton (Z) curve, whose neighbours in
    3 2 2 2 2 2 3         time are neighbours in space, so that what they read is read again while still warm

Everything is a generator: an image of 100 000 x 100 000 pixels is walked without a list of its cells. "Nearest
first" needs no sorting either: a squared distance is a sum over axes, each axis is sorted by itself, and a heap
that only holds the rim of what was already given merges them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from heapq import heappop, heappush
from itertools import chain, product

from napari_seamless.geometry import Cell, Grid, Region


def view_first(grid: Grid, wanted: Region, view: Region | None, whole: bool) -> Iterator[Cell]:
    """Every cell of `grid` that is to be made, once each, in the order in which to make it.

    `wanted` and `view` are pixels of the grid's domain and may reach over its edge. Without `whole` only the view
    and its surroundings are given (without a view: nothing); with it, all cells that touch `wanted`.

    >>> grid = Grid(shape=(4, 4), cell=(2, 2))
    >>> list(view_first(grid, Region.of((0, 4), (0, 4)), Region.of((2, 3), (0, 1)), whole=True))
    [(1, 0), (0, 0), (0, 1), (1, 1)]
    """
    everything = grid.covering(wanted)
    nothing = Region.from_shape((0,) * len(grid.shape))
    if view is None:
        return morton(everything, nothing) if whole else iter(())
    seen = grid.covering(view.intersect(wanted))
    around = grid.covering(view.grow(view.shape).intersect(wanted))
    centre = tuple((i.lo + i.hi) / 2 for i in view.intervals)
    ring = (cell for cell in nearest(grid, around, centre) if not _holds(seen, cell))
    rest = morton(everything, around) if whole else iter(())
    return chain(nearest(grid, seen, centre), ring, rest)


def nearest(grid: Grid, box: Region, centre: Sequence[float]) -> Iterator[Cell]:
    """The cells of a box of cell indices, by the distance of their pixels' middle from `centre` (in pixels).

    Cells at the same distance come in row-major order of their rank along each axis.
    """
    if box.is_empty:
        return
    axes = [
        sorted((_offset(size, cell, index, point) ** 2, index) for index in range(interval.lo, interval.hi))
        for interval, size, cell, point in zip(box.intervals, grid.shape, grid.cell, centre, strict=True)
    ]
    first = (0,) * len(axes)
    rim = [(sum(axis[0][0] for axis in axes), first)]
    while rim:
        _, ranks = heappop(rim)
        yield tuple(axis[rank][1] for axis, rank in zip(axes, ranks, strict=True))
        for after in _successors(ranks):
            if all(rank < len(axis) for axis, rank in zip(axes, after, strict=True)):
                heappush(rim, (sum(axis[rank][0] for axis, rank in zip(axes, after, strict=True)), after))


def morton(box: Region, without: Region) -> Iterator[Cell]:
    """The cells of a box of cell indices, but not those of the box `without`, along the Z curve anchored at zero.

    Cubes of 2^n cells an axis are halved until single cells are left; those outside the box, or wholly in
    `without`, are dropped whole. At most 2^ndim cubes a halving are held.
    """
    if box.is_empty:
        return
    size = 1 << (max(box.stop) - 1).bit_length()
    cubes = [((0,) * box.ndim, size)]
    corners = tuple(product((1, 0), repeat=box.ndim))
    while cubes:
        corner, size = cubes.pop()
        if not _touches(box, corner, size) or _swallows(without, corner, size):
            continue
        if size == 1:
            yield corner
            continue
        half = size // 2
        cubes.extend((tuple(c + half * bit for c, bit in zip(corner, bits, strict=True)), half) for bits in corners)


def _offset(size: int, cell: int, index: int, point: float) -> float:
    """From the middle of a cell (shorter at the far edge) to a point, along one axis."""
    return (index * cell + min((index + 1) * cell, size)) / 2 - point


def _successors(ranks: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """Each tuple of ranks has one parent (itself with its last non-zero rank one lower), so none is met twice."""
    last = max((axis for axis, rank in enumerate(ranks) if rank), default=0)
    for axis in range(last, len(ranks)):
        yield (*ranks[:axis], ranks[axis] + 1, *ranks[axis + 1 :])


def _holds(box: Region, cell: Cell) -> bool:
    return all(i.lo <= c < i.hi for i, c in zip(box.intervals, cell, strict=True))


def _touches(box: Region, corner: Cell, size: int) -> bool:
    return all(i.lo < c + size and c < i.hi for i, c in zip(box.intervals, corner, strict=True))


def _swallows(box: Region, corner: Cell, size: int) -> bool:
    return all(i.lo <= c and c + size <= i.hi for i, c in zip(box.intervals, corner, strict=True))
