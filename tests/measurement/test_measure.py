"""Measuring tile by tile gives what scipy gives on the whole array, however the tiles are cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.errors import BadRequest, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.measurement import LabelCounts, count_labels, tile_shape_over
from napari_seamless.postprocess.components import Components
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.postprocess.step import Domain, TileOutput
from napari_seamless.runs.polygons import Polygons

Array = NDArray[Any]


def reader(pixels: Array) -> Callable[[Region], Array]:
    return lambda region: pixels[(..., *region.slices())].copy()


def measured(labels: Array, tile: tuple[int, ...], components: Components | None, **options: Any) -> LabelCounts:
    return count_labels(reader(labels), labels.shape, tile=tile, components=components, **options)


def expected(
    labels: Array, sought: Components, inside: Array | None = None, image: Array | None = None
) -> dict[str, Any]:
    """The same table from the whole array at once, by scipy and by brute force."""
    inside = np.ones(labels.shape, bool) if inside is None else inside
    labels = np.where(inside, labels, 0)
    values = sought.classes or frozenset(np.unique(labels).tolist()) - {0, sought.boundary}
    structure = ndimage.generate_binary_structure(labels.ndim, sought.connectivity)
    numbers, owner = np.zeros(labels.shape, int), []
    for value in sorted(values):
        found, count = ndimage.label(labels == value, structure)
        numbers[found > 0] = found[found > 0] + len(owner)
        owner += [value] * count
    whole = numbers.copy()
    cores = np.argwhere(numbers)
    if sought.boundary is not None and len(cores):
        for pixel in np.argwhere(labels == sought.boundary):
            far = ((cores - pixel) ** 2).sum(1)  # argwhere is in raster order: argmin takes the first of equals
            if far.min() <= sought.reach**2:
                whole[tuple(pixel)] = numbers[tuple(cores[far.argmin()])]
    outside = np.pad(~inside, 1, constant_values=True)
    edge = ndimage.binary_dilation(outside)[(slice(1, -1),) * labels.ndim] & inside
    rows = []
    for number in range(1, len(owner) + 1):
        at, core = np.argwhere(whole == number), np.flatnonzero(numbers == number)
        light = [] if image is None else [channel[whole == number].astype(float).sum() for channel in image]
        is_at_edge = bool(edge[whole == number].any())
        rows.append(
            (core[0], owner[number - 1], len(at), len(core), at.sum(0), at.min(0), at.max(0) + 1, is_at_edge, light)
        )
    rows.sort(key=lambda row: row[0])
    names = ("first", "label", "area", "core_area", "sums", "low", "high", "at_edge", "intensity_sum")
    table = {name: [row[k] for row in rows] for k, name in enumerate(names)}
    centroids = [sums / area for sums, area in zip(table.pop("sums"), table["area"], strict=True)]
    return table | {"id": [first + 1 for first in table.pop("first")], "centroid": centroids}


def assert_same(objects: ObjectTable, table: dict[str, Any]) -> None:
    for name, column in table.items():
        found = objects.columns[name]
        assert len(found) == len(column), name
        if len(column) and np.size(column):
            np.testing.assert_array_equal(found, np.asarray(column), err_msg=name)


def images(ndim: int, edge: int, values: int) -> st.SearchStrategy[Array]:
    """Random labels: noise of a random density, some of it smoothed into blobs."""

    def made(shape: tuple[int, ...], seed: int, size: int, empty: float) -> Array:
        random = np.random.default_rng(seed)
        noise = ndimage.uniform_filter(random.random(shape), size)
        ranks = noise.ravel().argsort().argsort().reshape(shape) / noise.size
        kinds = np.floor((ranks - empty) / (1.0001 - empty) * values + 1).clip(0)
        return kinds.astype(np.uint8)

    shapes = st.tuples(*(st.integers(1, edge) for _ in range(ndim)))
    return st.builds(
        made,
        shapes,
        st.integers(0, 10**6),
        st.sampled_from([1, 2, 3]),
        st.integers(0, 9).map(lambda tenths: tenths / 10),
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data(), ndim=st.sampled_from([2, 3]))
def test_objects_in_tiles_are_those_of_the_whole_array(data: st.DataObject, ndim: int) -> None:
    labels = data.draw(images(ndim, 14 if ndim == 2 else 6, 3))
    tile = data.draw(st.tuples(*(st.integers(1, n) for n in labels.shape)))
    values = data.draw(st.sampled_from([None, frozenset({1}), frozenset({1, 2}), frozenset({1, 2, 3, 7, 9})]))
    boundary = data.draw(st.sampled_from([None, 3])) if values is None or 3 not in values else None
    sought = Components(
        values, data.draw(st.integers(1, ndim)), boundary, data.draw(st.sampled_from([1.0, 1.5, 2.0, 3.3]))
    )
    found = measured(labels, tile, sought)
    assert_same(found.objects, expected(labels, sought))
    assert found.counts == dict(zip(*(a.tolist() for a in np.unique(labels, return_counts=True)), strict=True))


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_region_a_mask_and_an_image_are_cut_out_of_the_whole(data: st.DataObject) -> None:
    labels = data.draw(images(2, 14, 3))
    spans = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in labels.shape]
    region = Region.of(*((lo, max(hi, lo + 1)) for lo, hi in spans))
    mask = np.random.default_rng(data.draw(st.integers(0, 99))).random(labels.shape) < 0.8
    image = np.random.default_rng(1).integers(0, 255, (2, *labels.shape), np.uint8)
    tile = data.draw(st.tuples(*(st.integers(1, n) for n in region.shape)))
    sought = Components(frozenset({1, 2}), 2, boundary=3, reach=2.0)
    inside = np.zeros(labels.shape, bool)
    inside[region.slices()] = mask[region.slices()]
    found = measured(labels, tile, sought, region=region, mask=reader(mask), image=reader(image))
    assert_same(found.objects, expected(labels, sought, inside, image))
    values, counts = np.unique(labels[inside], return_counts=True)
    assert found.counts == dict(zip(values.tolist(), counts.tolist(), strict=True))
    taken = int((found.objects.area - found.objects.extra["core_area"]).sum())
    assert found.unassigned == found.counts.get(3, 0) - taken


def spiral(turns: int) -> Array:
    """A line one pixel wide that winds inwards, and the gap beside it."""
    edge = 4 * turns + 1
    labels = np.zeros((edge, edge), np.uint8)
    y, x, steps = 0, 0, edge - 1
    labels[0, 0] = 1
    for turn, (dy, dx) in enumerate([(0, 1), (1, 0), (0, -1), (-1, 0)] * turns):
        length = steps if turn < 3 else max(steps - 2 * ((turn - 1) // 2), 0)
        for _ in range(length):
            y, x = y + dy, x + dx
            labels[y, x] = 1
    return labels


@pytest.mark.parametrize("tile", [(1, 1), (1, 25), (3, 5), (7, 7), (25, 25)])
def test_a_spiral_through_many_tiles_is_one_object(tile: tuple[int, int]) -> None:
    labels = spiral(6)
    assert ndimage.label(labels)[1] == 1
    assert labels.sum() < labels.size * 0.6
    found = measured(labels, tile, Components())
    assert_same(found.objects, expected(labels, Components()))
    assert found.objects.area.tolist() == [labels.sum()]


@pytest.mark.parametrize(("connectivity", "objects"), [(1, 6), (2, 1)])
@pytest.mark.parametrize("tile", [1, 2, 5])
def test_corners_join_or_do_not(connectivity: int, objects: int, tile: int) -> None:
    found = measured(np.eye(6, dtype=np.uint8)[::-1], (tile, tile), Components(connectivity=connectivity))
    assert len(found.objects) == objects


def test_large_and_negative_labels_are_labels() -> None:
    labels = np.array([[-5, -5, 0], [0, 2**40, 2**40]], np.int64)
    found = measured(labels, (1, 2), Components())
    assert found.counts == {-5: 2, 0: 2, 2**40: 2}
    assert found.objects.label.tolist() == [-5, 2**40]
    assert measured(labels.astype(np.uint64)[1:], (1, 2), Components()).objects.label.tolist() == [2**40]
    assert measured(labels > 0, (1, 2), Components()).objects.area.tolist() == [2]


def test_memory_of_the_joints_is_a_front_and_not_the_image() -> None:
    step, domain = Components(connectivity=2), Domain.whole((20, 20))
    settler, sizes = step.begin(domain), []
    for y, x in np.ndindex(20, 20):
        tile = domain.tile(Region.of((y, y + 1), (x, x + 1)), step.halo)
        settler.settle(step.propose(TileOutput(domain, tile, np.ones((1, *tile.read.shape), np.uint8))))
        sizes.append(len({opened.face.plane for opened in settler._faces.values()}))
    assert max(sizes) <= 2 * 20 + 2
    assert not sizes[-1]


def test_a_tile_is_whole_chunks_and_about_a_megapixel() -> None:
    assert tile_shape_over((100_000, 100_000), (512, 512)) == (1024, 1024)
    assert tile_shape_over((64, 5000, 5000), (16, 512, 512)) == (16, 512, 512)
    assert tile_shape_over((300, 200)) == (300, 200)
    assert tile_shape_over((1, 10**9)) == (1, 1 << 20)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"reach": 0.0}, "a boundary reaches more than 0"),
        ({"classes": frozenset({0, 1})}, "label 0 is background"),
        ({"classes": frozenset({1}), "boundary": 1}, "a boundary has a label of its own"),
    ],
)
def test_what_cannot_be_sought_is_refused(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        Components(**wrong)


def test_connectivity_must_fit_the_image() -> None:
    with pytest.raises(BadRequest, match=r"connectivity is 1 .* to 2 .* got 3"):
        measured(np.ones((3, 3), np.uint8), (2, 2), Components(connectivity=3))


def test_images_are_no_labels() -> None:
    with pytest.raises(BadRequest, match="labels are whole numbers; got float32"):
        measured(np.ones((3, 3), np.float32), (2, 2), None)


def test_measuring_tells_how_far_it_is_and_can_be_stopped() -> None:
    told: list[tuple[int, int]] = []
    labels = np.ones((4, 4), np.uint8)
    measured(labels, (2, 2), None, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(4, 16), (8, 16), (12, 16), (16, 16)]
    with pytest.raises(RunCancelled, match="stopped"):
        measured(labels, (2, 2), None, on_progress=lambda *now: told.append(now), cancelled=lambda: len(told) > 5)
    assert len(told) == 6


def test_outlines_take_the_pixels_whose_centres_lie_in_them() -> None:
    square = Polygons.of([[[(0.5, 0.5), (0.5, 3.5), (2.5, 3.5), (2.5, 0.5)]]])
    mask = square.mask(Region.of((0, 5), (0, 5)))
    assert np.argwhere(mask).tolist() == [[1, 1], [1, 2], [1, 3], [2, 1], [2, 2], [2, 3]]
    assert square.bounds((5, 5)) == Region.of((1, 3), (1, 4))


def test_outlines_that_share_an_edge_share_no_pixel() -> None:
    left = Polygons.of([[[(0, 0), (0, 2), (4, 2), (4, 0)]]]).mask(Region.of((0, 4), (0, 4)))
    right = Polygons.of([[[(0, 2), (0, 4), (4, 4), (4, 2)]]]).mask(Region.of((0, 4), (0, 4)))
    assert (left ^ right).all()


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), count=st.integers(3, 12))
def test_outlines_agree_with_shapely_whatever_the_tile(seed: int, count: int) -> None:
    shapely = pytest.importorskip("shapely")
    random = np.random.default_rng(seed)
    angles = np.sort(random.random(count) * 2 * np.pi)
    radii = random.uniform(5, 14, count)
    ring = np.stack([15 + radii * np.sin(angles), 15 + radii * np.cos(angles)], 1)
    hole = np.array([(14.3, 14.3), (14.3, 16.6), (16.6, 16.6), (16.6, 14.3)])
    outline = Polygons.of([[ring, hole]])
    y, x = np.indices((30, 30))
    whole = shapely.contains_xy(shapely.Polygon(ring), y, x) ^ shapely.contains_xy(shapely.Polygon(hole), y, x)
    mask = np.block([[outline.mask(Region.of(r, c)) for c in ((0, 7), (7, 30))] for r in ((0, 11), (11, 30))])
    np.testing.assert_array_equal(mask, whole)
    bounds = np.zeros_like(whole)
    bounds[outline.bounds(whole.shape).slices()] = True
    assert not (whole & ~bounds).any()


@pytest.mark.parametrize("rings", [[[[(0, 0), (1, 1)]]], [[[(0, 0), (1, np.nan), (2, 2)]]], [[[0, 1, 2]]]])
def test_what_is_no_outline_is_refused(rings: Any) -> None:
    with pytest.raises(BadRequest, match="an outline has at least three corners"):
        Polygons.of(rings)


def test_no_outlines_are_refused() -> None:
    with pytest.raises(BadRequest, match="outlines must enclose something"):
        Polygons.of([])
