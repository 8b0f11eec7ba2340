"""Flows on nuclei that people outlined, against the published code, and where it is hard."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import pytest
from skimage.measure import regionprops
from skimage.segmentation import relabel_sequential

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.from_labels import perfect_flows
from napari_seamless.postprocess.flows.step import Flows
from napari_seamless.postprocess.step import Domain, TileOutput
from napari_seamless.testing.conformance.postprocess import assert_same
from napari_seamless.testing.step_run import StepResult, StepRun, in_order_of, run_step, square_tiles
from nuclei_flows import PUBLISHED, flow_output, labels_of, tissue

STEP = Flows()


@lru_cache
def nuclei_at_once() -> StepResult:
    return all_at_once(STEP, flow_output())


def all_at_once(step: Flows, output: np.ndarray) -> StepResult:
    return run_step(step, output, output.shape[1:], [Region.from_shape(output.shape[1:])])


def in_tiles(step: Flows, output: np.ndarray, size: int, order: str = "random") -> StepResult:
    shape = output.shape[1:]
    return run_step(step, output, shape, in_order_of(square_tiles(Region.from_shape(shape), size), order, seed=size))


def numbered_by_first_pixel(labels: np.ndarray) -> np.ndarray:
    _, first, where = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(np.where(labels.ravel()[first] == 0, -1, first)))
    return order[where].reshape(labels.shape)


def flows_to(middles: Sequence[tuple[int, int, int]], shape: tuple[int, int]) -> np.ndarray:
    """Perfect flows of squares around (y, x), of this half side."""
    labels = np.zeros(shape, int)
    for number, (y, x, half) in enumerate(middles, 1):
        labels[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1] = number
    return perfect_flows(labels)


def frame(output: np.ndarray, low: int, high: int, width: int) -> np.ndarray:
    """An output with the frame of a square besides; its flow goes around to the middle of the right side."""
    y, x = np.mgrid[: output.shape[1], : output.shape[2]]
    inner = (y >= low + width) & (y < high - width) & (x >= low + width) & (x < high - width)
    inside = (y >= low) & (y < high) & (x >= low) & (x < high) & ~inner
    middle, right = (low + high - 1) // 2, high - (width + 1) // 2
    at_right, at_left = inside & (x >= high - width), inside & (x < low + width)
    at_left &= (y >= low + width) & (y < high - width)
    output = np.where(inside, np.array([0, 5, 1])[:, None, None], output)
    output[0] = np.where(at_left, np.where(y < middle, -5, 5), np.where(at_right, 5 * np.sign(middle - y), output[0]))
    output[1] = np.where(at_left, 0, np.where(at_right, 2 * (right - x), output[1]))
    return output.astype(np.float32)


def two_peaks(more: int) -> np.ndarray:
    """Particles of a row end at (20, 22), those of another at (20, 26), where they are by `more` more; some end between
    them, so that each peak would grow over the other. Steps are whole pixels."""
    output = np.zeros((3, 40, 60), np.float32)
    output[2] = -1
    output[:, 20, 10:22] = np.array([0, 5, 1])[:, None]
    output[:, 20, 27 : 39 + more] = np.array([0, -5, 1])[:, None]
    output[2, 20, 22:27] = 1
    output[:, 16:20, 23:26] = np.array([5, 0, 1])[:, None, None]
    return output


# --- any tiles, any order -----------------------------------------------------------------


@pytest.mark.parametrize(("size", "order"), [(128, "random"), (256, "raster"), (256, "view-first")])
def test_real_nuclei_are_the_same_for_all_sizes_and_orders_of_tiles(size: int, order: str) -> None:
    assert_same(in_tiles(STEP, flow_output(), size, order), nuclei_at_once())


@pytest.mark.parametrize("order", ["raster", "random", "view-first"])
def test_particles_move_through_many_tiles(order: str) -> None:
    output = np.zeros((3, 20, 300), np.float32)
    output[2] = 1
    output[1, :, :280], output[1, :, 280:] = 4.7, -5
    result = in_tiles(Flows(steps=400, reach=300, flow_error=None), output, 16, order)
    assert result.objects.high.max(axis=0).tolist() == [20, 300]
    assert (result.objects.extra["center"][:, 1] >= 278).all()
    assert (result.labels > 0).all()
    assert_same(result, all_at_once(Flows(steps=400, reach=300, flow_error=None), output))


@pytest.mark.parametrize("order", ["raster", "random"])
def test_tiles_that_lie_in_the_hole_of_an_object_are_painted_as_its_own(order: str) -> None:
    """No particle of the object moves through such a tile."""
    output, step = frame(-np.ones((3, 80, 80)), 4, 76, 6), Flows(flow_error=None)
    result = in_tiles(step, output, 16, order)
    assert result.objects.area.tolist() == [72**2]
    assert (result.labels[4:76, 4:76] == 1).all()
    assert_same(result, all_at_once(step, output))


def test_what_no_unread_pixel_can_change_is_handed_out_at_once() -> None:
    output = flows_to([(20, 20, 8), (20, 60, 8), (20, 100, 8)], (40, 120))
    step = Flows(reach=12)
    run = StepRun(step, output, (40, 120))
    settler = step.begin(run.domain)
    left, middle, right = (Region.of((0, 40), (at, at + 40)) for at in (0, 40, 80))
    first = settler.settle(step.propose(run.given(left)))
    assert first.objects.centroid.tolist() == [[20, 20]]
    assert [tile.tile for tile in first.paintable] == [left]
    settler.settle(step.propose(run.given(middle)))
    assert settler.settle(step.propose(run.given(right))).objects.centroid.tolist() == [[20, 100]]


def test_what_a_later_tile_takes_back_was_provisional_before() -> None:
    step = Flows(flow_error=None, smallest=13)
    run = StepRun(step, two_peaks(1), (40, 60))
    settler = step.begin(run.domain)
    left, right = (settler.settle(step.propose(run.given(Region.of((0, 40), half)))) for half in ((0, 23), (23, 60)))
    assert left.provisional.extra["center"].tolist() == [[20, 22]]
    assert not len(left.objects)
    assert right.withdrawn.tolist() == left.provisional.id.tolist()
    assert right.objects.extra["center"].tolist() == [[20, 26]]


def test_what_is_far_away_from_the_corner_is_no_different() -> None:
    """Whole numbers of 32 bits, or places that are rounded to them, would end elsewhere."""
    output = flow_output()[:, :200, :200]
    far = Region.of((2_000_000, 2_000_200), (4_000_000, 4_000_200))
    domain = Domain((far.stop[0] + 10, far.stop[1] + 10), far)
    settler = STEP.begin(domain)
    labels, objects = np.full((200, 200), -1), []
    for tile in square_tiles(far, 64):
        here = domain.tile(tile, 1)
        pixels = output[(slice(None), *here.read.slices(far.start))]
        objects.append(settler.settle(STEP.propose(TileOutput(domain, here, pixels))))
    objects.append(settler.flush())
    for one in (done for settled in objects for done in settled.paintable):
        labels[one.tile.slices(far.start)] = STEP.paint(one, None)
    near = np.zeros((3, 220, 220), np.float32)
    near[:, 10:-10, 10:-10] = output
    expected = all_at_once(STEP, near)
    np.testing.assert_array_equal(relabel_sequential(labels)[0], expected.labels[10:-10, 10:-10])
    assert sorted(np.concatenate([s.objects.area for s in objects])) == sorted(expected.objects.area)


# --- against the published code -----------------------------------------------------------


@pytest.mark.parametrize("flow_error", PUBLISHED)
def test_objects_are_those_of_cellpose_pixel_for_pixel(flow_error: float | None) -> None:
    published = labels_of(PUBLISHED[flow_error])
    result = all_at_once(Flows(flow_error=None), flow_output()) if flow_error is None else nuclei_at_once()
    np.testing.assert_array_equal(numbered_by_first_pixel(result.labels), numbered_by_first_pixel(published))
    assert published.max() == {None: 441, 0.4: 431}[flow_error]


@pytest.mark.parametrize(("more", "column"), [(0, 22), (1, 26)])
def test_the_peak_with_more_ends_takes_what_both_reach_and_of_equals_the_first_in_raster_order(
    more: int, column: int
) -> None:
    """cellpose leaves equals to an unstable sort."""
    objects = all_at_once(Flows(flow_error=None), two_peaks(more)).objects
    assert objects.extra["center"].tolist() == [[20, column]]
    assert objects.area.tolist() == [2 * 13 + 15 + more]


def test_an_object_that_fills_the_image_is_one() -> None:
    """cellpose drops what is more than 0.4 of the image."""
    result = all_at_once(STEP, perfect_flows(np.ones((40, 40), int)))
    assert result.objects.area.tolist() == [1600]


def test_an_object_in_the_hole_of_another_stays_one() -> None:
    """cellpose gives its pixels to the one around it."""
    result = all_at_once(Flows(flow_error=None), frame(flows_to([(30, 30, 5)], (60, 60)), 10, 51, 6))
    around, inside = result.labels[12, 12], result.labels[30, 30]
    assert 0 < around != inside > 0
    assert result.labels[20, 30] == around
    assert result.objects.area[around - 1] == 41**2
    assert (result.labels == inside).sum() == 11**2


# --- what comes out -----------------------------------------------------------------------


def test_a_perfect_network_finds_nearly_every_nucleus() -> None:
    labels, found = tissue(), all_at_once(STEP, perfect_flows(tissue()))
    pairs, shared = np.unique(np.stack([labels, found.labels]).reshape(2, -1), axis=1, return_counts=True)
    sizes, others = np.bincount(labels.ravel()), np.bincount(found.labels.ravel())
    is_match = (shared / (sizes[pairs[0]] + others[pairs[1]] - shared) > 0.5) & pairs.all(axis=0)
    assert 2 * is_match.sum() / (len(np.unique(labels)) - 1 + len(found.objects)) > 0.98
    assert np.median(found.objects.extra["flow_error"]) < 1e-6


def test_the_table_tells_the_pixels_of_each_object() -> None:
    result = all_at_once(STEP, flows_to([(20, 20, 8), (50, 3, 5), (50, 50, 6)], (70, 70)))
    objects = result.objects
    for row, props in enumerate(regionprops(result.labels)):
        assert objects.area[row] == props.area
        np.testing.assert_allclose(objects.centroid[row], props.centroid)
        assert (*objects.low[row], *objects.high[row]) == props.bbox
    assert objects.id.tolist() == [y * 70 + x + 1 for y, x in objects.extra["center"].tolist()]
    assert objects.extra["at_edge"].tolist() == [False, True, False]
    np.testing.assert_allclose(objects.extra["score"], 1 / (1 + np.exp(-6)))


def test_objects_are_dropped_that_are_smaller_than_the_smallest() -> None:
    output = flows_to([(20, 20, 3), (20, 50, 4)], (40, 70))
    assert all_at_once(Flows(smallest=49), output).objects.area.tolist() == [49, 81]
    assert all_at_once(Flows(smallest=50), output).objects.area.tolist() == [81]


def test_an_object_is_dropped_whose_flow_is_not_that_of_its_shape() -> None:
    output = flows_to([(20, 20, 8), (20, 60, 8)], (40, 80))
    y, x = np.mgrid[12:29, 52:69]
    away = np.stack([20 - y, 53 - x])
    output[:2, 12:29, 52:69] = 5 * away / np.hypot(*away).clip(1)
    assert all_at_once(Flows(flow_error=None), output).objects.area.tolist() == [17**2, 17**2]
    assert all_at_once(Flows(), output).objects.centroid.tolist() == [[20, 20]]


def test_the_class_of_an_object_is_the_one_that_most_of_its_pixels_have() -> None:
    output = np.concatenate([flows_to([(20, 20, 8)], (40, 40)), np.zeros((3, 40, 40), np.float32)])
    output[3], output[4, :22] = 0.1, 1
    assert all_at_once(Flows(classes=3), output).objects.label.tolist() == [2]
    output[4, 19:22] = 0
    assert all_at_once(Flows(classes=3), output).objects.label.tolist() == [1]


def test_pixels_outside_of_the_mask_are_no_cells() -> None:
    output = flows_to([(20, 20, 8), (20, 60, 8)], (40, 80))
    domain, mask = Domain.whole((40, 80)), np.zeros((40, 80), bool)
    mask[:, 40:] = True
    settler = STEP.begin(domain)
    candidates = STEP.propose(TileOutput(domain, domain.tile(domain.region, 1), output, mask=mask))
    assert settler.settle(candidates).objects.centroid.tolist() == [[20, 60]]


def test_a_particle_that_goes_too_far_is_lost_and_a_notice_says_so() -> None:
    step = Flows(reach=20)
    result = all_at_once(step, flows_to([(60, 60, 30), (20, 20, 8)], (100, 100)))
    limited = result.objects.extra["limited"]
    assert limited.tolist() == [False, True]
    assert result.objects.area[1] < 51**2
    assert step.notices["limited"].format(count=1) == (
        "1 objects reach nearly as far as a particle may go, 20 pixels, and may be cut there; set a larger reach"
    )


def test_a_flow_that_is_too_long_is_cut_and_a_notice_says_so() -> None:
    output = flows_to([(20, 20, 8), (20, 60, 8)], (40, 80))
    output[:2, :, 40:] *= 50
    step = Flows(flow_error=None)
    result = all_at_once(step, output)
    assert result.objects.extra["cut"].any()
    assert not result.objects.extra["cut"][result.objects.extra["center"][:, 1] < 40].any()
    assert step.notices["cut"].format(count=2).startswith("2 objects have flows of more than 2 pixels a step")


def test_an_output_without_cells_gives_an_empty_table_and_background() -> None:
    output = np.zeros((3, 50, 60), np.float32)
    result = in_tiles(STEP, output - 1, 32)
    assert len(result.objects) == 0
    assert not result.labels.any()


# --- bad input ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"classes": -1}, "flows have 0 or more classes, and a smallest object of 0 or more pixels; got -1 and 15"),
        ({"smallest": -2}, "a smallest object of 0 or more pixels; got 0 and -2"),
        ({"threshold": float("nan")}, "the threshold of a cell is a number, mostly between -6 and 6; got nan"),
        ({"steps": 0}, "a particle makes 1 to 10000 steps; got 0"),
        ({"largest_step": 17}, "the largest step of a particle is 1 to 16 pixels; got 17"),
        ({"reach": 2000}, "a particle reaches 1 to 1024 pixels; got 2000"),
        ({"flow_error": 0.0}, r"the largest error of an object's flow is more than 0 \(mostly 0.4\), or none; got 0"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        Flows(**settings)  # type: ignore[arg-type]


def test_an_output_of_other_channels_is_refused() -> None:
    with pytest.raises(BadRequest, match="flows with 0 classes are 3 channels of output: y, x, cell, classes; got 5"):
        all_at_once(STEP, np.zeros((5, 20, 20), np.float32))


@pytest.mark.parametrize("channel", [0, 2])
def test_an_output_that_is_not_a_number_is_refused(channel: int) -> None:
    output = np.ones((3, 20, 20), np.float32)
    output[channel, 5, 5] = np.nan
    with pytest.raises(BadRequest, match="a network for flows gives numbers; got NaN or infinity"):
        all_at_once(STEP, output)


def test_a_volume_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"flows lie in planes \(y, x\); got 3 axes"):
        STEP.begin(Domain.whole((4, 20, 20)))


@pytest.mark.parametrize("labels", [np.zeros((4, 4)), np.zeros((4, 4, 4), int), np.full((4, 4), -1)])
def test_perfect_flows_are_of_labels_only(labels: np.ndarray) -> None:
    with pytest.raises(BadRequest, match=r"labels are whole numbers from 0 with axes \(y, x\)"):
        perfect_flows(labels)
