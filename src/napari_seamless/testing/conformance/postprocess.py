"""What every step of post-processing must do, as tests to inherit."""

from __future__ import annotations

import io
import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import PostprocessStep, SavedState, Settler, cells_in
from napari_seamless.testing.step_run import StepResult, StepRun, in_order_of, run_step, square_tiles

SHAPE = (96, 130)


@dataclass(frozen=True)
class StepCase:
    """A step; what it must give: dense labels, of this shape, of an output (c, [z,] y, x) as a whole; and outputs for
    images of a shape, by seed, to try it on."""

    step: PostprocessStep
    whole_image_labels: Callable[[Pixels, Sequence[int]], Ints]
    example_output: Callable[[Sequence[int], int], Pixels]

    def whole(self, output: Pixels, shape: Sequence[int] = SHAPE) -> StepResult:
        """The result of one tile."""
        return run_step(self.step, output, shape, [Region.from_shape(shape)])


class PostprocessConformance(ABC):
    """Inherit, and say which step to check, on what, against what."""

    @abstractmethod
    def make_case(self) -> StepCase:
        """The step under test."""

    @pytest.fixture
    def case(self) -> StepCase:
        """The step under test."""
        return self.make_case()

    def test_it_is_a_step_and_its_settler_a_settler(self, case: StepCase) -> None:
        assert isinstance(case.step, PostprocessStep)
        assert isinstance(StepRun(case.step, case.example_output(SHAPE, 0), SHAPE)._settler, Settler)
        assert pickle.loads(pickle.dumps(case.step)) == case.step

    @pytest.mark.parametrize("order", ["raster", "random", "view-first"])
    @pytest.mark.parametrize("size", [32, 48, 64, 1000])
    def test_every_size_and_order_of_tiles_gives_the_whole_image_result(
        self, case: StepCase, size: int, order: str
    ) -> None:
        output = case.example_output(SHAPE, size)
        tiles = in_order_of(square_tiles(Region.from_shape(SHAPE), size), order, seed=size)
        result = run_step(case.step, output, SHAPE, tiles)
        np.testing.assert_array_equal(result.labels, case.whole_image_labels(output, SHAPE))
        assert_same(result, case.whole(output))

    @settings(
        max_examples=12,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(seed=st.integers(0, 10**6))
    def test_tiles_of_any_shape_give_the_whole_image_result(self, case: StepCase, seed: int) -> None:
        random = np.random.default_rng(seed)
        shape = tuple(int(n) for n in random.integers(1, 40, 2))
        output = case.example_output(shape, seed)
        tiles = in_order_of(_cut(Region.from_shape(shape), random), "random", seed)
        result = run_step(case.step, output, shape, tiles)
        np.testing.assert_array_equal(result.labels, case.whole_image_labels(output, shape))
        assert_same(result, case.whole(output, shape))

    @pytest.mark.parametrize("order", ["raster", "random"])
    @pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
    def test_a_saved_state_goes_on_in_a_new_settler(self, case: StepCase, order: str, share: float) -> None:
        output = case.example_output(SHAPE, 1)
        tiles = in_order_of(square_tiles(Region.from_shape(SHAPE), 32), order)
        run = StepRun(case.step, output, SHAPE)
        for number, tile in enumerate(tiles):
            if number == int(share * len(tiles)):
                run.restore(_on_disk(run.save()))
            run.add(case.step.propose(run.given(tile)))
        assert_same(run.finish(), case.whole(output))

    def test_a_state_that_is_gone_on_from_twice_gives_the_same_twice(self, case: StepCase) -> None:
        output = case.example_output(SHAPE, 2)
        tiles = square_tiles(Region.from_shape(SHAPE), 32)
        run = StepRun(case.step, output, SHAPE)
        for tile in tiles[:6]:
            run.add(case.step.propose(run.given(tile)))
        saved = run.save()
        before = {name: array.copy() for name, array in saved.items()}
        for _ in range(2):
            settler = case.step.begin(run.domain, saved)
            settler.settle(case.step.propose(run.given(tiles[6])))
            settler.flush()
        for name, array in before.items():
            np.testing.assert_array_equal(saved[name], array, err_msg=name)

    def test_proposing_in_two_processes_gives_what_this_process_gives(self, case: StepCase) -> None:
        output = case.example_output(SHAPE, 3)
        run = StepRun(case.step, output, SHAPE)
        tiles = square_tiles(Region.from_shape(SHAPE), 64)
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            for candidates in pool.map(case.step.propose, map(run.given, tiles)):
                run.add(candidates)
        assert_same(run.finish(), run_step(case.step, output, SHAPE, tiles))

    def test_proposing_changes_nothing_and_gives_the_same_again(self, case: StepCase) -> None:
        run = StepRun(case.step, case.example_output(SHAPE, 4), SHAPE)
        tile = square_tiles(Region.from_shape(SHAPE), 32)[5]
        given, untouched = run.given(tile), run.given(tile)
        first, second = case.step.propose(given), case.step.propose(given)
        np.testing.assert_array_equal(given.pixels, untouched.pixels)
        assert first.tile == tile
        for name, column in first.columns.items():
            np.testing.assert_array_equal(column, second.columns[name], err_msg=name)

    def test_a_region_is_made_as_if_there_were_nothing_else(self, case: StepCase) -> None:
        output = case.example_output(SHAPE, 5)
        region = Region.of((13, 80), (21, 119))
        result = run_step(case.step, output, SHAPE, in_order_of(square_tiles(region, 32), "random"), region)
        inside = (slice(None), *cells_in(region, case.step.grid).slices())
        alone = np.zeros_like(output)
        alone[inside] = output[inside]
        np.testing.assert_array_equal(result.labels, case.whole_image_labels(alone, SHAPE)[region.slices()])

    def test_the_state_grows_with_the_front_and_not_with_the_image(self, case: StepCase) -> None:
        peaks = []
        for height in (256, 1024):
            output = case.example_output((height, 64), 6)
            tiles = square_tiles(Region.from_shape((height, 64)), 32)
            peaks.append(run_step(case.step, output, (height, 64), tiles).peak_state_bytes)
        assert peaks[1] < 1.5 * peaks[0]

    def test_a_state_is_arrays_of_numbers_and_its_bytes_are_known(self, case: StepCase) -> None:
        run = StepRun(case.step, case.example_output(SHAPE, 7), SHAPE)
        run.add(case.step.propose(run.given(square_tiles(Region.from_shape(SHAPE), 32)[0])))
        assert all(array.dtype.kind in "biuf" for array in run.save().values())
        assert run._settler.state_bytes == sum(array.nbytes for array in run.save().values()) > 0

    def test_every_notice_belongs_to_a_column_and_counts_objects(self, case: StepCase) -> None:
        columns = case.whole(case.example_output(SHAPE, 9)).objects.extra
        for name, notice in case.step.notices.items():
            assert columns[name].dtype == bool
            assert "1234 objects" in notice.format(count=1234)

    def test_a_tile_is_settled_once_and_lies_in_the_domain(self, case: StepCase) -> None:
        output = case.example_output(SHAPE, 8)
        run, region = StepRun(case.step, output, SHAPE), Region.of((0, 32), (0, 32))
        candidates = case.step.propose(run.given(region))
        run.add(candidates)
        with pytest.raises(BadRequest, match="read before"):
            run.add(candidates)
        with pytest.raises(BadRequest, match="must lie inside"):
            StepRun(case.step, output, SHAPE, Region.of((0, 20), (0, 130))).add(candidates)


def assert_same(result: StepResult, other: StepResult) -> None:
    """Labels and every column of the tables are equal, bit for bit."""
    np.testing.assert_array_equal(result.labels, other.labels)
    columns, others = result.objects.columns, other.objects.columns
    assert columns.keys() == others.keys()
    for name, column in columns.items():
        np.testing.assert_array_equal(column, others[name], err_msg=name)


def _on_disk(state: SavedState) -> SavedState:
    """The state as it comes back from a file without pickle."""
    file = io.BytesIO()
    np.savez(file, allow_pickle=False, **state)
    file.seek(0)
    with np.load(file, allow_pickle=False) as saved:
        return {name: saved[name] for name in saved.files}


def _cut(region: Region, random: np.random.Generator) -> list[Region]:
    """A region cut at random places into tiles of any shape."""
    axis = int(np.argmax(region.shape))
    span = region.intervals[axis]
    if span.size < 6 or random.random() < 0.2:
        return [region]
    at = int(random.integers(span.lo + 1, span.hi))
    halves = (Interval(span.lo, at), Interval(at, span.hi))
    before, after = region.intervals[:axis], region.intervals[axis + 1 :]
    return [tile for half in halves for tile in _cut(Region((*before, half, *after)), random)]
