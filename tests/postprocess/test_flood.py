"""Floods of nuclei that people outlined, against the published rules, and where it is hard."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import label, regionprops
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.flood import DistanceFlood, HoverFlood, candidates
from napari_seamless.postprocess.flood.definition import flooded
from napari_seamless.postprocess.flood.from_labels import perfect_distances, perfect_places
from napari_seamless.postprocess.flood.hover import NucleusSlopes, opened, slopes_of
from napari_seamless.postprocess.flood.maps import FloodMaps
from napari_seamless.postprocess.flood.step import FloodStep
from napari_seamless.postprocess.step import Domain, TileOutput
from napari_seamless.testing.conformance.postprocess import assert_same
from napari_seamless.testing.step_run import StepResult, StepRun, in_order_of, run_step, square_tiles

LABELS = Path(__file__).parent / "labels"
STEPS: dict[str, FloodStep] = {"distances": DistanceFlood(), "hover": HoverFlood()}
PLAIN = DistanceFlood(center=None, boundary=0.5, smoothing=0)
"""A marker where the distance is below 0.5; the distance is the height as it is."""


@lru_cache
def nuclei() -> np.ndarray:
    """The nuclei of both images, one above the other: (1032, 680)."""
    above, below = (np.asarray(Image.open(LABELS / f"{n}.png")).astype(np.int64) for n in ("fluorescence", "stained"))
    return np.concatenate([above[:, :680], np.where(below, below + above.max(), 0)])


@lru_cache
def output_of(kind: str) -> np.ndarray:
    """What a network that is right but for some noise gives for the nuclei."""
    maps = perfect_distances(nuclei()) if kind == "distances" else perfect_places(nuclei())
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(size=maps.shape), (0, 2, 2))
    return (maps * [[[0.9]], [[1]], [[1]]] + 0.5 * noise).astype(np.float32)


def all_at_once(step: FloodStep, output: np.ndarray) -> StepResult:
    return run_step(step, output, output.shape[1:], [Region.from_shape(output.shape[1:])])


def in_tiles(step: FloodStep, output: np.ndarray, size: int, order: str) -> StepResult:
    region = Region.from_shape(output.shape[1:])
    return run_step(step, output, region.shape, in_order_of(square_tiles(region, size), order, seed=size))


def plain(height: np.ndarray, foreground: np.ndarray | None = None) -> np.ndarray:
    """An output of which `PLAIN` floods these heights, from those below 0.5."""
    there = np.ones_like(height) if foreground is None else foreground
    return np.stack([there, height]).astype(np.float32)


# --- any tiles, any order -----------------------------------------------------------------


@pytest.mark.parametrize(("size", "order"), [(128, "random"), (256, "view-first"), (512, "raster")])
@pytest.mark.parametrize("kind", ["distances", "hover"])
def test_real_nuclei_are_the_same_for_all_sizes_and_orders_of_tiles(kind: str, size: int, order: str) -> None:
    whole = all_at_once(STEPS[kind], output_of(kind))
    assert 350 < len(whole.objects) < 480
    assert_same(in_tiles(STEPS[kind], output_of(kind), size, order), whole)


def packed(levels: int | None, shape: tuple[int, int] = (150, 170)) -> np.ndarray:
    """Heights without any background, all different, or of so many levels."""
    height = ndimage.gaussian_filter(np.random.default_rng(1).random(shape), 3)
    height = (height - height.min()) / np.ptp(height)
    return plain(height if levels is None else np.round(height * levels) / levels)


@pytest.mark.parametrize("halo", [1, 4, 40])
@pytest.mark.parametrize("levels", [None, 8, 3])
def test_packed_tissue_is_the_same_for_whatever_is_flooded_around_a_tile(
    levels: int | None, halo: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = all_at_once(PLAIN, packed(levels))
    monkeypatch.setattr(candidates, "FLOOD_HALO", halo)
    for order in ("raster", "random"):
        assert_same(in_tiles(PLAIN, packed(levels), 40, order), whole)


def cut(region: Region, random: np.random.Generator, times: int) -> list[Region]:
    """A region cut in two, and so on, at any place."""
    rows, columns = region.intervals
    if not times:
        return [region]
    if rows.size >= columns.size:
        at = int(random.integers(rows.lo + 1, rows.hi))
        halves = [
            Region.of((rows.lo, at), (columns.lo, columns.hi)),
            Region.of((at, rows.hi), (columns.lo, columns.hi)),
        ]
    else:
        at = int(random.integers(columns.lo + 1, columns.hi))
        halves = [Region.of((rows.lo, rows.hi), (columns.lo, at)), Region.of((rows.lo, rows.hi), (at, columns.hi))]
    return [tile for half in halves for tile in cut(half, random, times - 1)]


@pytest.mark.parametrize("seed", [20, 21])
def test_a_large_tile_may_know_what_has_pixels_of_a_small_one_that_does_not(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(seed)
    shape = tuple(int(n) for n in random.integers(30, 110, 2))
    height = ndimage.gaussian_filter(random.random(shape), random.choice([0.7, 1.5, 4]))
    height = (height - height.min()) / np.ptp(height)
    if levels := random.choice([0, 2, 4, 10]):
        height = np.round(height * levels) / levels
    height = np.maximum(height, 0.5)
    height[random.random(shape) < random.choice([0.0003, 0.002, 0.01])] = 0
    output = plain(height, ndimage.gaussian_filter(random.random(shape), 2) > random.choice([0, 0.48, 0.5]))
    monkeypatch.setattr(candidates, "FLOOD_HALO", 6)
    tiles = in_order_of(cut(Region.from_shape(shape), random, 4), "random", seed)
    assert_same(run_step(PLAIN, output, shape, tiles), all_at_once(PLAIN, output))


@pytest.mark.parametrize("order", ["raster", "random", "view-first"])
def test_a_plateau_over_many_tiles_is_divided_where_the_steps_to_both_markers_are_equal(order: str) -> None:
    height = np.ones((64, 200))
    height[20:24, 3], height[40, 196] = 0, 0
    result = in_tiles(PLAIN, plain(height), 16, order)
    assert_same(result, all_at_once(PLAIN, plain(height)))
    assert result.labels[22, :90].tolist() == [1] * 90
    assert result.labels[40, 110:].tolist() == [2] * 90


@pytest.mark.parametrize("order", ["raster", "random"])
def test_a_way_through_all_tiles_ends_at_the_marker_where_it_begins(order: str) -> None:
    """Nothing of it is known before the tile of the marker, and all tiles on the way, are read."""
    way = np.zeros((80, 80))
    way[::4] = 1
    way[0::8, -1], way[1::8, -1], way[2::8, -1], way[3::8, -1] = 1, 1, 1, 1
    way[4::8, 0], way[5::8, 0], way[6::8, 0], way[7::8, 0] = 1, 1, 1, 1
    height = np.where(way, np.random.default_rng(0).uniform(0.6, 0.9, way.shape), 1)
    height[0, 0] = 0
    output = plain(height, way)
    result = in_tiles(PLAIN, output, 16, order)
    np.testing.assert_array_equal(result.labels, way)
    assert_same(result, all_at_once(PLAIN, output))


def test_an_object_is_settled_as_soon_as_its_surroundings_are_read() -> None:
    output = np.tile(packed(None, (64, 64)), (1, 1, 8))
    run, settled, left = StepRun(PLAIN, output, (64, 512)), 0, []
    settler = PLAIN.begin(run.domain)
    for tile in square_tiles(run.domain.region, 64):
        settled += len(settler.settle(PLAIN.propose(run.given(tile))).objects)
        left.append(settler.state_bytes)
    assert len(settler.flush().objects) == 0
    assert settled == len(all_at_once(PLAIN, output).objects)
    assert max(left[3:]) < 1.3 * max(left[:3])


def test_what_is_not_read_in_the_end_counts_as_not_there() -> None:
    """An object of which no marker was read is none; every tile that was read is painted."""
    height = np.ones((40, 80))
    height[20, 2], height[20, 45] = 0, 0
    run = StepRun(PLAIN, plain(height), (40, 80))
    settler, painted = PLAIN.begin(run.domain), []
    for settled in (settler.settle(PLAIN.propose(run.given(Region.of((0, 40), (0, 40))))), settler.flush()):
        painted += [PLAIN.paint(objects, None) for objects in settled.paintable]
    (labels,) = painted
    assert set(np.unique(labels)) == {0, 20 * 80 + 3}
    assert labels[20, 20] == 20 * 80 + 3
    assert labels[20, 38] == 0


# --- against the published code -----------------------------------------------------------


@pytest.mark.parametrize("touch", [1, 2])
def test_without_equal_heights_it_is_the_watershed_of_skimage(touch: int) -> None:
    random = np.random.default_rng(3)
    for sigma in (0.0, 1.0, 3.0):
        smooth = ndimage.gaussian_filter(random.random((120, 140)), sigma) if sigma else random.random((120, 140))
        height = np.argsort(np.argsort(smooth, axis=None)).reshape(smooth.shape).astype(np.float32)
        foreground = ndimage.gaussian_filter(random.random(smooth.shape), 2) > 0.49
        markers = foreground & (height < 0.1 * height.size)
        maps = FloodMaps(foreground, markers, height, height, np.zeros(height.shape, np.uint8), 0)
        numbers = label(markers, connectivity=touch)
        np.testing.assert_array_equal(flooded(maps, touch), watershed(height, numbers, mask=foreground))


def test_distances_become_objects_as_in_torch_em() -> None:
    """But for the background, which counts as far from any object here whatever the network says of it."""
    output = output_of("distances").copy()
    output[1:, output[0] <= 0.5] = 1
    output[1:] = np.clip(output[1:], 0, 1)
    inside = np.pad(output, ((0, 0), (8, 8), (8, 8)), constant_values=1)
    inside[0, :8], inside[0, -8:], inside[0, :, :8], inside[0, :, -8:] = 0, 0, 0, 0
    center, boundary = (ndimage.gaussian_filter(m, 1.6, truncate=3) for m in inside[1:])
    foreground = inside[0] > 0.5
    markers = ndimage.label((center < 0.5) & (boundary < 0.5) & foreground)[0]
    expected = watershed(boundary, markers, mask=foreground)
    result = all_at_once(DistanceFlood(), inside)
    assert len(result.objects) == markers.max() > 350
    assert np.mean(result.labels != expected) < 1e-4  # heights there are rounded otherwise


def published_nuclei(output: np.ndarray, mode: str, everywhere: bool) -> np.ndarray:
    """The rule of HoVer-Net's paper on a whole array: slopes brought to 0 ... 1, markers where neither map falls, and a
    watershed of what is between. `mode` is what is outside, `everywhere` whether slopes are brought to 0 ... 1 by those
    of all pixels, or of nuclei."""
    probability, horizontal, vertical = output.astype(float)
    nucleus = ndimage.label(probability >= 0.5)[0]
    nucleus = remove_small_objects(nucleus, max_size=9) > 0
    smooth, rise = binomial(20), np.convolve(binomial(19), [-1, 1])

    def steepness(plane: np.ndarray, across: int) -> np.ndarray:
        slope = ndimage.correlate1d(plane, rise, axis=across, mode=mode)
        slope = ndimage.correlate1d(slope, smooth, axis=1 - across, mode=mode)
        of = slope if everywhere else slope[nucleus]
        return 1 - np.clip((slope - of.min()) / np.ptp(of), 0, 1)

    overall = np.maximum(steepness(horizontal, 1), steepness(vertical, 0))
    distance = np.where(nucleus, 1 - overall, 0)
    blur = np.outer([1, 2, 1], [1, 2, 1]) / 16
    height = -ndimage.correlate(distance, blur, mode=mode)
    markers = ndimage.binary_fill_holes(nucleus & (overall < 0.4))
    disc = np.ones((5, 5), bool)
    disc[[0, 0, 0, 0, 4, 4, 4, 4], [0, 1, 3, 4, 0, 1, 3, 4]] = False
    markers = ndimage.label(ndimage.binary_opening(markers, disc))[0]
    markers = remove_small_objects(markers, max_size=9)
    ties_removed = height + 1e-13 * np.arange(height.size).reshape(height.shape)
    return np.asarray(watershed(ties_removed, markers, mask=nucleus))


def binomial(order: int) -> np.ndarray:
    weights = np.ones(1)
    for _ in range(order):
        weights = np.convolve(weights, [1.0, 1.0])
    return weights


def matched(labels: np.ndarray, others: np.ndarray) -> float:
    """The share of objects that have the same pixels, nearly (IoU above 0.9), in both."""
    pairs, shared = np.unique(np.stack([labels, others]).reshape(2, -1), axis=1, return_counts=True)
    sizes, other_sizes = np.bincount(labels.ravel()), np.bincount(others.ravel())
    same = (shared / (sizes[pairs[0]] + other_sizes[pairs[1]] - shared) > 0.9) & pairs.all(axis=0)
    counts = len(np.unique(labels)) + len(np.unique(others)) - 2
    return float(2 * same.sum() / counts)


def test_nuclei_are_those_of_the_published_rule() -> None:
    """Where slopes are brought to 0 ... 1 by those of nuclei, and 0 is outside."""
    output = output_of("hover")[:, 200:800]
    expected = published_nuclei(output, "constant", everywhere=False)
    labels = all_at_once(HoverFlood(), output).labels
    assert len(np.unique(expected)) == len(np.unique(labels))
    assert np.mean((labels > 0) != (expected > 0)) == 0
    assert matched(labels, expected) == 1
    assert np.mean(labels != np.unique(expected, return_inverse=True)[1].reshape(labels.shape)) < 2e-5


def test_what_differs_from_the_published_code_changes_few_nuclei() -> None:
    """There the image is mirrored at its border, and slopes are brought to 0 ... 1 by those of all pixels."""
    output = output_of("hover")[:, 200:800]
    expected = published_nuclei(output, "mirror", everywhere=True)
    assert matched(all_at_once(HoverFlood(), output).labels, expected) > 0.95


def test_with_a_range_of_slopes_that_is_given_no_barrier_is_needed() -> None:
    output = output_of("hover")[:, 200:500]
    domain = Domain.whole(output.shape[1:])
    low, high, *_ = (barrier.of(output[[0, 1, 1]], domain) for barrier in HoverFlood().barriers)
    step = HoverFlood(slopes=(low, high))
    assert step.barriers == ()
    assert_same(in_tiles(step, output[[0, 1, 1]], 128, "random"), all_at_once(step, output[[0, 1, 1]]))


def test_a_slope_is_told_in_1_per_pixel() -> None:
    y, x = np.mgrid[:60, :60].astype(np.float32)
    along_x, along_y = slopes_of(np.stack([0.25 * x + y, 0.5 * y]))
    np.testing.assert_allclose(along_x[10:50, 10:50], 0.25, rtol=1e-5)
    np.testing.assert_allclose(along_y[10:50, 10:50], 0.5, rtol=1e-5)


def test_thin_parts_are_taken_away_as_scipy_does() -> None:
    mask = ndimage.gaussian_filter(np.random.default_rng(0).random((60, 70)), 1) > 0.5
    disc = np.ones((5, 5), bool)
    disc[[0, 0, 0, 0, 4, 4, 4, 4], [0, 1, 3, 4, 0, 1, 3, 4]] = False
    np.testing.assert_array_equal(opened(mask), ndimage.binary_opening(mask, disc))


def test_the_range_of_slopes_is_that_of_its_tiles() -> None:
    step, output = HoverFlood(), output_of("hover")
    run = StepRun(step, output, output.shape[1:])
    slopes = NucleusSlopes(step)
    tiles = [run.domain.tile(write, slopes.halo) for write in square_tiles(run.domain.region, 300)]
    given = (TileOutput(run.domain, t, output[(slice(None), *t.read.slices())]) for t in tiles)
    values = np.concatenate([slopes(one) for one in given], axis=1)
    expected = [barrier.of(output, run.domain) for barrier in step.barriers]
    assert [values[0].min(), values[0].max(), values[1].min(), values[1].max()] == expected


# --- what comes out -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["distances", "hover"])
def test_a_perfect_network_finds_nearly_every_nucleus(kind: str) -> None:
    output = perfect_distances(nuclei()) if kind == "distances" else perfect_places(nuclei())
    found = all_at_once(STEPS[kind], output).labels
    pairs, shared = np.unique(np.stack([nuclei(), found]).reshape(2, -1), axis=1, return_counts=True)
    sizes, others = np.bincount(nuclei().ravel()), np.bincount(found.ravel())
    is_match = (shared / (sizes[pairs[0]] + others[pairs[1]] - shared) > 0.5) & pairs.all(axis=0)
    assert 2 * is_match.sum() / (len(np.unique(nuclei())) - 1 + found.max()) > 0.93


def test_the_table_tells_the_pixels_of_each_object() -> None:
    result = in_tiles(STEPS["distances"], output_of("distances"), 256, "random")
    probability = output_of("distances")[0].clip(0, 1)
    objects = result.objects
    for row, props in enumerate(regionprops(result.labels, intensity_image=probability)):
        assert objects.area[row] == props.area
        np.testing.assert_allclose(objects.centroid[row], props.centroid)
        assert (*objects.low[row], *objects.high[row]) == props.bbox
        assert objects.extra["score"][row] == pytest.approx(props.intensity_mean, abs=1e-5)
        (top, left), (bottom, right) = objects.low[row], objects.high[row]
        assert objects.extra["at_edge"][row] == (top == 0 or left == 0 or bottom == 1032 or right == 680)
    assert (objects.extra["marker_area"] > 0).all()


def test_the_class_of_an_object_is_that_of_most_of_its_pixels() -> None:
    height = np.ones((20, 60))
    height[10, [10, 30, 50]] = 0
    foreground = np.ones((20, 60))
    foreground[:, [20, 40]] = 0
    scores = np.zeros((2, 20, 60))
    scores[1, :, :13], scores[1, :, 21:28] = 1, 1
    step = DistanceFlood(center=None, smoothing=0, classes=2)
    output = np.concatenate([plain(height, foreground), scores]).astype(np.float32)
    assert in_tiles(step, output, 16, "random").objects.label.tolist() == [2, 1, 1]


def test_a_nucleus_of_which_no_pixel_has_a_type_has_none() -> None:
    output = np.concatenate([perfect_places(nuclei()[:200, :200]), np.zeros((3, 200, 200))]).astype(np.float32)
    output[3], output[5, :, 100:] = 0.5, 0.8
    labels = all_at_once(HoverFlood(types=3), output).objects
    assert set(labels.label[labels.high[:, 1] < 100]) == {0}
    assert set(labels.label[labels.low[:, 1] > 100]) == {2}


def test_pixels_outside_of_the_mask_are_background() -> None:
    output, mask = plain(np.zeros((30, 40))), np.ones((30, 40), bool)
    mask[:, 18:22] = False
    domain = Domain.whole((30, 40))
    settler = PLAIN.begin(domain)
    given = TileOutput(domain, domain.tile(domain.region, 0), output, mask=mask)
    objects = settler.settle(PLAIN.propose(given)).objects
    assert objects.area.tolist() == [540, 540]
    assert objects.extra["at_edge"].all()


def test_an_output_without_objects_gives_an_empty_table_and_background() -> None:
    for step in STEPS.values():
        result = all_at_once(step, np.zeros((3, 50, 60), np.float32))
        assert len(result.objects) == 0
        assert not result.labels.any()


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "settings", "sentence"),
    [
        (DistanceFlood, {"foreground": 1.5}, "the probability of an object is at least 0 and less than 1; got 1.5"),
        (DistanceFlood, {"center": 0.0}, "the distance to the centre is more than 0 and less than 1; got 0"),
        (DistanceFlood, {"boundary": 2.0}, "the distance to the boundary is more than 0 and less than 1; got 2"),
        (DistanceFlood, {"smoothing": -1.0}, "smoothing is 0 to 16 pixels; got -1"),
        (DistanceFlood, {"smallest": 1000}, "the smallest marker has 0 to 256 pixels; got 1000"),
        (DistanceFlood, {"connectivity": 3}, r"markers touch by sides \(1\) or also by corners \(2\); got 3"),
        (DistanceFlood, {"classes": -1}, "there are 0 or more classes; got -1"),
        (HoverFlood, {"probability": 0.0}, "the probability of a nucleus is more than 0 and less than 1; got 0"),
        (HoverFlood, {"marker": 1.0}, "the edge strength of a marker is more than 0 and less than 1; got 1"),
        (HoverFlood, {"slopes": (0.1, 0.2)}, r"slopes are that of a fall, below 0, and of a rise, above 0; got \(0.1"),
        (HoverFlood, {"largest_hole": -1}, "the largest hole is 0 to 256 pixels; got -1"),
        (HoverFlood, {"types": 1}, r"there are 2 or more types \(the first is none\), or 0; got 1"),
    ],
)
def test_settings_out_of_range_are_refused(step: Any, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        step(**settings)


def test_an_output_of_other_channels_is_refused() -> None:
    sentence = r"distance maps are 3 channels of output \(probability, distance to the centre, .*\); got 4"
    with pytest.raises(BadRequest, match=sentence):
        all_at_once(DistanceFlood(), np.zeros((4, 10, 10), np.float32))
    with pytest.raises(BadRequest, match=r"HoVer-Net maps are 3 channels of output \(.*\); got 2"):
        all_at_once(HoverFlood(slopes=(-0.1, 0.1)), np.zeros((2, 10, 10), np.float32))


def test_an_output_that_is_not_a_number_is_refused() -> None:
    output = np.ones((3, 10, 10), np.float32)
    output[1, 5, 5] = np.inf
    with pytest.raises(BadRequest, match="a network for distance maps gives numbers; got NaN or infinity"):
        all_at_once(DistanceFlood(), output)


def test_a_volume_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"floods lie in planes \(y, x\); got 3 axes"):
        DistanceFlood().begin(Domain.whole((4, 20, 20)))
