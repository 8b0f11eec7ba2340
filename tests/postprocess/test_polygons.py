"""Polygons on nuclei that people outlined, against the published code, and where it is hard."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops
from stardist import non_maximum_suppression, polygons_to_label, star_dist
from stardist.geometry.geom2d import polygons_to_label_coord
from stardist.utils import edt_prob

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.polygons import contest
from napari_seamless.postprocess.polygons.from_labels import perfect_output
from napari_seamless.postprocess.polygons.step import StarPolygons
from napari_seamless.postprocess.step import Domain, TileOutput
from napari_seamless.testing.conformance.postprocess import assert_same
from napari_seamless.testing.step_run import StepResult, StepRun, in_order_of, run_step, square_tiles

LABELS = Path(__file__).parent / "labels"
STEP = StarPolygons()


def labels_of(name: str) -> np.ndarray:
    return np.asarray(Image.open(LABELS / f"{name}.png")).astype(np.int64)


@lru_cache
def tissue() -> np.ndarray:
    """The nuclei of both images, one above the other: (1032, 680)."""
    above, below = labels_of("fluorescence")[:, :680], labels_of("stained")
    return np.concatenate([above, np.where(below, below + above.max(), 0)])


@lru_cache
def network_output() -> np.ndarray:
    """What a network that is right but for some noise gives for the tissue, without equal scores."""
    random = np.random.default_rng(0)
    output = perfect_output(tissue())
    noise = [ndimage.gaussian_filter(random.normal(size=output.shape), (0, 2, 2)) for _ in range(2)]
    output[0] = np.clip(output[0] + 0.8 * noise[0][0] * (output[0] > 0), 0, 1)
    output[1:] *= 1 + 0.8 * noise[1][1:]
    ranks = np.argsort(np.argsort(output[0], axis=None, kind="stable"), kind="stable").reshape(output[0].shape)
    output[0] = np.where(output[0] > 0.5, 0.501 + 0.498 * ranks / ranks.size, output[0])
    return np.maximum(output, 0)


def all_at_once(step: StarPolygons, output: np.ndarray, shape: tuple[int, ...]) -> StepResult:
    return run_step(step, output, shape, [Region.from_shape(shape)])


def discs(step: StarPolygons, shape: tuple[int, int], places: list[tuple[int, int, float, float]]) -> np.ndarray:
    """An output with polygons at (cell y, cell x), of this radius and score."""
    output = np.zeros((step.channels, *(-(-n // step.grid) for n in shape)), np.float32)
    for y, x, radius, score in places:
        output[0, y, x], output[1:, y, x] = score, radius
    return output


# --- any tiles, any order -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "order"),
    [(128, "random"), (256, "raster"), (256, "view-first"), (512, "random"), (512, "view-first"), (1024, "raster")],
)
def test_real_nuclei_are_the_same_for_all_sizes_and_orders_of_tiles(size: int, order: str) -> None:
    output, shape = network_output(), tissue().shape
    tiles = in_order_of(square_tiles(Region.from_shape(shape), size), order, seed=size)
    assert_same(run_step(STEP, output, shape, tiles), all_at_once(STEP, output, shape))


@pytest.mark.parametrize("order", ["raster", "random"])
@pytest.mark.parametrize("size", [64, 128])
def test_a_chain_in_which_each_polygon_decides_on_the_next_goes_through_the_whole_image(size: int, order: str) -> None:
    step, shape = StarPolygons(largest_radius=16), (40, 8 * 400)
    output = discs(step, shape, [(10, 4 * k + 2, 10, 0.9 - 0.0005 * k) for k in range(399)])
    result = run_step(step, output, shape, in_order_of(square_tiles(Region.from_shape(shape), size), order))
    assert_same(result, all_at_once(step, output, shape))
    assert result.objects.extra["center"][:, 1].tolist() == list(range(4, 8 * 399, 16))


def test_the_chain_is_settled_while_it_is_read_from_its_beginning() -> None:
    step, shape = StarPolygons(largest_radius=16), (40, 8 * 400)
    output = discs(step, shape, [(10, 4 * k + 2, 10, 0.9 - 0.0005 * k) for k in range(399)])
    run, settled = StepRun(step, output, shape), 0
    settler = step.begin(run.domain)
    for tile in square_tiles(run.domain.region, 64):
        settled += len(settler.settle(step.propose(run.given(tile))).objects)
    assert settled >= 199
    assert settled + len(settler.flush().objects) == 200


def test_polygons_that_are_compared_a_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    output, shape = network_output(), tissue().shape
    expected = all_at_once(STEP, output, shape)
    monkeypatch.setattr(contest, "AT_ONCE", 1000)
    assert_same(run_step(STEP, output, shape, square_tiles(Region.from_shape(shape), 512)), expected)


def test_a_network_that_sees_objects_everywhere_is_compared_in_little_memory() -> None:
    """All pixels of all polygons would be 370 MB."""
    step, shape = StarPolygons(largest_radius=128), (450, 450)
    output = np.random.default_rng(0).uniform(0.6, 1, (33, 225, 225)).astype(np.float32)
    output[1:] = 120
    tracemalloc.start()
    result = all_at_once(step, output, shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 5 < len(result.objects) < 50
    assert peak < 220e6


@pytest.mark.parametrize("order", ["raster", "random"])
def test_an_object_is_painted_in_tiles_that_are_far_from_the_tile_of_its_centre(order: str) -> None:
    step, shape = StarPolygons(largest_radius=48), (160, 160)
    output = discs(step, shape, [(54, 54, 45.5, 0.9), (20, 60, 10, 0.8)])
    result = run_step(step, output, shape, in_order_of(square_tiles(Region.from_shape(shape), 16), order))
    assert_same(result, all_at_once(step, output, shape))
    assert result.objects.area[1] == (result.labels == 2).sum() > 6000


def test_what_is_far_away_from_the_corner_is_no_different() -> None:
    step, far = StarPolygons(largest_radius=48), (2_000_000, 4_000_000)
    output = network_output()[:, :128, :128]
    region = Region.of((far[0], far[0] + 256), (far[1], far[1] + 256))
    domain = Domain((far[0] + 10_000, far[1] + 10_000), region)
    settler = step.begin(domain)
    candidates = step.propose(TileOutput(domain, domain.tile(region, 0), output))
    settled = [settler.settle(candidates), settler.flush()]
    (painted,) = (step.paint(objects, None) for one in settled for objects in one.paintable)
    near = all_at_once(StarPolygons(largest_radius=48, border=0), output, (256, 256))
    objects = [one.objects for one in settled if len(one.objects)]
    assert sorted(np.concatenate([o.area for o in objects]).tolist()) == sorted(near.objects.area.tolist())
    np.testing.assert_array_equal(np.unique(painted, return_inverse=True)[1].reshape(painted.shape), near.labels)


def test_what_a_later_tile_takes_back_was_provisional_before() -> None:
    step, shape = StarPolygons(largest_radius=16), (64, 64)
    output = discs(step, shape, [(16, 14, 10, 0.7), (16, 18, 10, 0.9)])
    run = StepRun(step, output, shape)
    settler = step.begin(run.domain)
    halves = Region.of((0, 64), (0, 32)), Region.of((0, 64), (32, 64))
    first, second = (settler.settle(step.propose(run.given(half))) for half in halves)
    weak, strong = 16 * 32 + 14 + 1, 16 * 32 + 18 + 1
    assert first.provisional.id.tolist() == [weak]
    assert second.withdrawn.tolist() == [weak]
    assert second.objects.id.tolist() == [strong]


# --- against the published code -----------------------------------------------------------


def winners(step: StarPolygons) -> set[tuple[int, int]]:
    return {(y, x) for y, x in all_at_once(step, network_output(), tissue().shape).objects.extra["center"].tolist()}


def winners_of_stardist(overlap: float) -> set[tuple[int, int]]:
    probability, *rays = network_output()
    settings = {"grid": (2, 2), "b": 2, "prob_thresh": 0.5, "nms_thresh": overlap}
    points, _, _ = non_maximum_suppression(np.stack(rays, -1), probability, **settings)
    return {(y, x) for y, x in points.tolist()}


@pytest.mark.parametrize("overlap", [0.2, 0.4, 0.5, 0.6])
def test_the_same_polygons_win_as_in_stardist(overlap: float) -> None:
    assert winners(StarPolygons(overlap=overlap)) == winners_of_stardist(overlap)


def test_a_polygon_may_win_that_does_not_in_stardist_where_the_overlap_is_nearly_the_limit() -> None:
    """stardist intersects polygons of which vertices are whole pixels; here pixels are counted."""
    published = winners_of_stardist(0.3)
    assert winners(StarPolygons(overlap=0.3)) ^ published == {(546, 114), (548, 116)}
    assert winners(StarPolygons(overlap=0.32)) == published


def test_pixels_are_those_of_stardist_but_where_an_edge_passes_within_a_thousandth_of_a_pixel() -> None:
    result = all_at_once(STEP, network_output(), tissue().shape)
    extra = result.objects.extra
    theirs = polygons_to_label(extra["distance"], extra["center"], tissue().shape, prob=extra["score"])
    different = np.argwhere(result.labels != theirs)
    assert len(different) <= 5
    corners = extra["center"][..., None] + extra["distance"][:, None] * _turns(32)
    for pixel in different:
        assert min(_distance_to_edges(pixel, corner) for corner in corners) < 1e-3


def test_pixels_are_those_of_stardist_for_vertices_that_have_no_rounding() -> None:
    result = all_at_once(STEP, network_output(), tissue().shape)
    extra = result.objects.extra
    corners = extra["center"][..., None] + np.rint(extra["distance"][:, None] * (65536 * _turns(32))) / 65536
    order = np.argsort(extra["score"], kind="stable")
    theirs = polygons_to_label_coord(corners[order], tissue().shape, labels=order)
    np.testing.assert_array_equal(result.labels, theirs)


def test_of_equal_scores_the_first_in_raster_order_wins() -> None:
    """stardist leaves it to an unstable sort."""
    step, shape = StarPolygons(largest_radius=16), (64, 64)
    output = discs(step, shape, [(16, 14, 10, 0.8), (16, 16, 10, 0.8), (15, 18, 10, 0.8)])
    assert all_at_once(step, output, shape).objects.extra["center"].tolist() == [[30, 36]]


def test_a_perfect_output_is_what_stardist_trains_on() -> None:
    labels = labels_of("fluorescence")
    output = perfect_output(labels)
    np.testing.assert_allclose(output[0], edt_prob(labels)[::2, ::2], atol=1e-6)
    inside = labels[::2, ::2] > 0
    difference = np.abs(output[1:] - np.moveaxis(star_dist(labels, 32, grid=(2, 2)), -1, 0))[:, inside]
    assert np.median(difference) < 0.25  # stardist goes along a ray in steps of one pixel
    assert np.mean(difference > 1) < 0.02
    assert not output[:, ~inside].any()


def test_an_object_that_fills_the_image_is_all_middle_and_its_rays_end_at_the_border() -> None:
    output = perfect_output(np.ones((20, 30), np.uint8), rays=4)
    assert (output[0] == 1).all()
    assert output[1:, 5, 5].tolist() == [19.5, 9.5, 10.5, 10.5]


def _turns(rays: int) -> np.ndarray:
    angles = np.arange(rays) * (2 * np.pi / rays)
    return np.stack([np.sin(angles), np.cos(angles)])


def _distance_to_edges(pixel: np.ndarray, corners: np.ndarray) -> float:
    start, end = corners.T, np.roll(corners.T, -1, axis=0)
    along = end - start
    share = np.clip(((pixel - start) * along).sum(1) / np.maximum((along**2).sum(1), 1e-12), 0, 1)
    return float(np.linalg.norm(start + share[:, None] * along - pixel, axis=1).min())


# --- what comes out -----------------------------------------------------------------------


@pytest.mark.parametrize(("name", "f1"), [("fluorescence", 0.97), ("stained", 0.95)])
def test_a_perfect_network_finds_nearly_every_nucleus(name: str, f1: float) -> None:
    labels = labels_of(name)
    found = all_at_once(StarPolygons(border=0), perfect_output(labels), labels.shape)
    pairs, shared = np.unique(np.stack([labels, found.labels]).reshape(2, -1), axis=1, return_counts=True)
    sizes, others = np.bincount(labels.ravel()), np.bincount(found.labels.ravel())
    is_match = (shared / (sizes[pairs[0]] + others[pairs[1]] - shared) > 0.5) & pairs.all(axis=0)
    assert 2 * is_match.sum() / (len(np.unique(labels)) - 1 + len(found.objects)) > f1


def test_the_table_tells_the_pixels_of_each_object() -> None:
    step, shape = StarPolygons(largest_radius=20), (90, 80)
    output = discs(step, shape, [(20, 20, 13.3, 0.9), (33, 3, 9.5, 0.8)])
    output[1:9, 20, 20] = 5
    result = all_at_once(step, output, shape)
    objects = result.objects
    for row, props in enumerate(regionprops(result.labels)):
        assert objects.area[row] == props.area
        np.testing.assert_allclose(objects.centroid[row], props.centroid)
        assert (*objects.low[row], *objects.high[row]) == props.bbox
    assert objects.id.tolist() == [20 * 40 + 20 + 1, 33 * 40 + 3 + 1]
    assert objects.extra["at_edge"].tolist() == [False, True]


def test_where_objects_overlap_the_better_one_is_painted() -> None:
    step, shape = StarPolygons(largest_radius=16), (64, 64)
    result = all_at_once(step, discs(step, shape, [(16, 12, 8, 0.7), (16, 18, 8, 0.9)]), shape)
    assert result.objects.area.tolist() == [197, 197]
    assert np.bincount(result.labels.ravel())[1:].tolist() == [170, 197]
    assert result.labels[32, 30] == 2


def test_the_class_of_an_object_is_the_one_of_the_highest_score_at_its_centre() -> None:
    step, shape = StarPolygons(classes=3, largest_radius=16), (64, 64)
    output = discs(step, shape, [(16, 16, 8, 0.7)])
    output[-3:, 16, 16] = (0.1, 0.7, 0.2)
    assert all_at_once(step, output, shape).objects.label.tolist() == [2]


def test_centres_outside_of_the_mask_are_no_objects() -> None:
    step, shape = StarPolygons(largest_radius=16), (64, 64)
    output, domain = discs(step, shape, [(8, 8, 6, 0.9), (24, 24, 6, 0.9)]), Domain.whole(shape)
    mask = np.zeros(shape, bool)
    mask[48, 48] = True
    candidates = step.propose(TileOutput(domain, domain.tile(domain.region, 0), output, mask=mask))
    assert candidates.columns["center"].tolist() == [[48, 48]]


def test_an_output_without_objects_gives_an_empty_table_and_background() -> None:
    result = all_at_once(STEP, np.zeros((33, 100, 100), np.float32), (199, 200))
    assert len(result.objects) == 0
    assert not result.labels.any()


def test_an_image_that_is_all_border_has_no_objects() -> None:
    assert len(all_at_once(STEP, np.ones((33, 4, 3), np.float32), (7, 6)).objects) == 0


def test_an_object_beyond_the_largest_radius_is_cut_there_and_a_notice_says_so() -> None:
    step, shape = StarPolygons(largest_radius=10), (64, 64)
    output = discs(step, shape, [(16, 16, 14, 0.9), (6, 6, 5, 0.8)])
    result = all_at_once(step, output, shape)
    assert result.objects.extra["clipped"].tolist() == [False, True]
    assert (result.objects.high - result.objects.low).max() == 21
    notice = step.notices["clipped"].format(count=1)
    assert notice == "1 objects reach further than largest_radius, 10 pixels, and are cut there; set a larger one"


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"rays": 2}, "a polygon has 3 to 256 rays; got 2"),
        ({"grid": 0}, "got a grid of 0, 0 classes and a border of 2"),
        ({"probability": 1.5}, "the probability of an object is at least 0 and less than 1; got 1.5"),
        ({"overlap": -0.1}, "objects may overlap by a part of at least 0 and less than 1; got -0.1"),
        ({"largest_radius": 0}, "the largest radius of an object is 1 to 1024 pixels; got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        StarPolygons(**settings)  # type: ignore[arg-type]


def test_an_output_of_other_channels_is_refused() -> None:
    with pytest.raises(BadRequest, match="polygons of 32 rays and 0 classes are 33 channels of output; got 3"):
        all_at_once(STEP, np.zeros((3, 10, 10), np.float32), (20, 20))


@pytest.mark.parametrize("channel", [0, 5])
def test_an_output_that_is_not_a_number_is_refused(channel: int) -> None:
    output = np.ones((33, 10, 10), np.float32)
    output[channel, 5, 5] = np.nan
    with pytest.raises(BadRequest, match="a network for polygons gives numbers; got NaN"):
        all_at_once(STEP, output, (20, 20))


def test_a_volume_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"polygons lie in planes \(y, x\); got 3 axes"):
        STEP.begin(Domain.whole((4, 20, 20)))


@pytest.mark.parametrize("labels", [np.zeros((4, 4)), np.zeros((4, 4, 4), int), np.full((4, 4), -1)])
def test_a_perfect_output_is_of_labels_only(labels: np.ndarray) -> None:
    with pytest.raises(BadRequest, match=r"labels are whole numbers from 0 with axes \(y, x\)"):
        perfect_output(labels)


def test_the_compiler_is_loaded_when_polygons_are_made_and_not_before() -> None:
    code = "import sys, napari_seamless.postprocess.steps; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
