"""The order of cells: everything once, what is looked at first, nothing held."""

from __future__ import annotations

import tracemalloc
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.geometry import Cell, Grid, Region, cells_of
from napari_seamless.runtime.planning.order import view_first

HUGE = Grid(shape=(100_000, 100_000), cell=(512, 512))


@st.composite
def regions(draw: st.DrawFn, ndim: int) -> Region:
    bounds = [sorted(draw(st.tuples(st.integers(-30, 120), st.integers(-30, 120)))) for _ in range(ndim)]
    return Region.of(*((lo, hi) for lo, hi in bounds))


@st.composite
def cases(draw: st.DrawFn) -> tuple[Grid, Region, Region | None]:
    ndim = draw(st.sampled_from((2, 3)))
    shape = draw(st.tuples(*[st.integers(1, 90)] * ndim))
    cell = draw(st.tuples(*[st.integers(7, 40)] * ndim))
    return Grid(shape, cell), draw(regions(ndim)), draw(st.none() | regions(ndim))


def from_centre(grid: Grid, view: Region, cell: Cell) -> float:
    return grid.region(cell).distance([(i.lo + i.hi) / 2 for i in view.intervals])


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_wanted_cell_comes_exactly_once(case: tuple[Grid, Region, Region | None]) -> None:
    grid, wanted, view = case
    assert sorted(view_first(grid, wanted, view, whole=True)) == sorted(cells_of(grid.covering(wanted)))


@settings(max_examples=150, deadline=None)
@given(cases())
def test_the_view_comes_first_then_its_surroundings_each_nearest_first(
    case: tuple[Grid, Region, Region | None],
) -> None:
    grid, wanted, view = case
    if view is None:
        return
    seen = set(cells_of(grid.covering(view.intersect(wanted))))
    around = set(cells_of(grid.covering(view.grow(view.shape).intersect(wanted)))) - seen
    cells = list(view_first(grid, wanted, view, whole=True))
    first, second = cells[: len(seen)], cells[len(seen) : len(seen) + len(around)]
    assert (set(first), set(second)) == (seen, around)
    for part in (first, second):
        distances = [from_centre(grid, view, cell) for cell in part]
        assert distances == pytest.approx(sorted(distances))
    assert list(view_first(grid, wanted, view, whole=False)) == first + second


def test_without_a_view_the_cells_follow_the_z_curve() -> None:
    grid = Grid((4, 4), (1, 1))
    cells = list(view_first(grid, Region.of((0, 4), (0, 4)), None, whole=True))
    assert cells[:8] == [(0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (0, 3), (1, 2), (1, 3)]


def test_without_a_view_and_without_the_whole_there_is_nothing_to_make() -> None:
    assert list(view_first(HUGE, Region.from_shape(HUGE.shape), None, whole=False)) == []


def test_a_volume_is_walked_in_cubes() -> None:
    grid = Grid((4, 4, 4), (1, 1, 1))
    cells = list(view_first(grid, Region.from_shape(grid.shape), None, whole=True))
    assert set(cells[:8]) == set(cells_of(Region.of((0, 2), (0, 2), (0, 2))))


def test_a_huge_image_is_ordered_without_a_list_of_its_cells() -> None:
    wanted, view = Region.from_shape(HUGE.shape), Region.of((40_000, 42_000), (60_000, 64_000))
    tracemalloc.start()
    try:
        count = sum(1 for _ in islice(view_first(HUGE, wanted, view, whole=True), 3000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 3000
    assert peak < 200_000


def test_a_view_beside_the_wanted_region_still_gives_its_surroundings_before_the_rest() -> None:
    grid, wanted = Grid((80, 80), (10, 10)), Region.of((0, 80), (0, 40))
    cells = list(view_first(grid, wanted, Region.of((30, 40), (40, 60)), whole=True))
    assert cells[0] == (3, 3)
    assert len(cells) == 32
