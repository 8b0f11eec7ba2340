"""The one coordinate law: half-open, literal, (z,) y, x."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Interval, Levels, Region, cells_of, halved, hull_of, subtract

bounds = st.tuples(st.integers(-50, 50), st.integers(0, 40)).map(lambda p: (p[0], p[0] + p[1]))
regions = st.tuples(bounds, bounds).map(lambda p: Region.of(*p))


def pixels(region: Region) -> set[tuple[int, ...]]:
    return set(cells_of(region))


def test_a_region_prints_as_its_mathematics() -> None:
    assert repr(Region.of((0, 512), (256, 768))) == "y[0, 512) x[256, 768)"


@given(regions, regions)
def test_the_intersection_is_exactly_the_pixels_of_both(a: Region, b: Region) -> None:
    assert pixels(a.intersect(b)) == pixels(a) & pixels(b)


@given(regions, regions)
def test_subtracting_leaves_disjoint_regions_that_miss_exactly_the_part(a: Region, b: Region) -> None:
    parts = list(subtract(a, b))
    assert sum(p.size for p in parts) == len(pixels(a) - pixels(b))
    assert set().union(*map(pixels, parts)) == pixels(a) - pixels(b)


@given(st.lists(regions.filter(lambda r: not r.is_empty), min_size=1, max_size=4))
def test_a_hull_holds_every_region_and_nothing_that_it_could_drop(parts: list[Region]) -> None:
    hull = hull_of(parts)
    assert all(hull.contains(p) for p in parts)
    assert hull.start == tuple(min(p.start[k] for p in parts) for k in range(2))


def test_an_empty_region_adds_nothing_to_a_hull() -> None:
    assert Region.of((0, 0), (5, 9)).hull(Region.of((2, 3), (4, 5))) == Region.of((2, 3), (4, 5))


def test_a_slice_never_counts_from_the_end() -> None:
    with pytest.raises(BadRequest, match="must not start before the array"):
        Region.of((-1, 4), (0, 4)).slices()


def test_an_interval_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"got \[3, 2\)"):
        Interval(3, 2)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 40), st.integers(1, 40))
def test_the_cells_of_a_grid_partition_its_domain(h: int, w: int, ch: int, cw: int) -> None:
    grid = Grid((h, w), (ch, cw))
    cells = [grid.region(i) for i in cells_of(Region.from_shape(grid.counts))]
    assert sum(c.size for c in cells) == h * w
    assert hull_of(cells) == Region.from_shape((h, w))


@given(regions)
def test_the_covering_cells_hold_every_pixel_inside_the_domain(region: Region) -> None:
    grid = Grid((31, 17), (8, 5))
    inside = region.intersect(Region.from_shape(grid.shape))
    assert grid.pixels(grid.covering(region)).contains(inside)


def test_levels_keep_an_exact_scale_and_map_regions_both_ways() -> None:
    levels = Levels(((1001, 600), (501, 300)))
    assert levels.to_base(Region.of((0, 501), (0, 300)), 1) == Region.of((0, 1001), (0, 600))
    assert levels.to_level(Region.of((0, 1001), (10, 12)), 1) == Region.of((0, 501), (5, 6))
    with pytest.raises(BadRequest, match="between 0 and 1"):
        levels.shape(2)


def test_a_pyramid_halves_until_it_is_small() -> None:
    assert halved((3, 1001, 64), until=300) == ((3, 1001, 64), (3, 501, 32), (3, 251, 16))
