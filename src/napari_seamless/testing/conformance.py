"""What every source and every scheduler must do, as tests to inherit.

A third party's test file needs three lines::

    class TestMySource(SourceConformance):
        def make_source(self, tmp_path):
            return MySource(...)
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest, InputDamaged
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Executor, Source
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.testing.fakes import BoxBlurEngine, GradientSource, ListQueue, RecordingSink, StepEngine

LARGEST_PIXELS = 4_000_000
WAIT_SECONDS = 30.0


class SourceConformance(ABC):
    """Inherit, and say how to make a source; a small one will do (each level is read whole, if below 4 Mpixel)."""

    @abstractmethod
    def make_source(self, tmp_path: Path) -> Source:
        """A new open source; the test closes it."""

    @pytest.fixture
    def source(self, tmp_path: Path):  # type: ignore[no-untyped-def]
        """The source under test."""
        source = self.make_source(tmp_path)
        yield source
        source.close()

    def test_it_is_a_source(self, source: Source) -> None:
        assert isinstance(source, Source)

    def test_every_level_has_its_shape_channels_and_dtype(self, source: Source) -> None:
        for level in _small_levels(source):
            pixels = source.read(Region.from_shape(source.info.levels.shape(level)), level)
            assert pixels.shape == (source.info.channels, *source.info.levels.shape(level))
            assert pixels.dtype == source.info.dtype

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_a_region_has_the_pixels_of_the_whole(self, source: Source, data: st.DataObject) -> None:
        level = data.draw(st.sampled_from(_small_levels(source)))
        shape = source.info.levels.shape(level)
        region = data.draw(regions_inside(shape))
        whole = source.read(Region.from_shape(shape), level)
        np.testing.assert_array_equal(source.read(region, level), whole[(slice(None), *region.slices())])

    def test_what_it_returns_belongs_to_the_caller(self, source: Source) -> None:
        level = _small_levels(source)[-1]
        region = Region.from_shape(source.info.levels.shape(level))
        first = source.read(region, level)
        kept = first.copy()
        first[...] = 0
        np.testing.assert_array_equal(source.read(region, level), kept)

    @pytest.mark.parametrize("side", ["before", "beyond"])
    def test_a_region_that_leaves_the_image_is_refused_and_not_clamped(self, source: Source, side: str) -> None:
        shape = source.info.levels.shape(0)
        last = {"before": (-1, 1), "beyond": (shape[-1] - 1, shape[-1] + 1)}[side]
        with pytest.raises(BadRequest, match=r"got"):
            source.read(Region.of(*((0, 1) for _ in shape[:-1]), last), 0)

    def test_several_threads_may_read_at_once(self, source: Source) -> None:
        level = _small_levels(source)[-1]
        whole = source.read(Region.from_shape(source.info.levels.shape(level)), level)
        cell = tuple(max(1, n // 3) for n in whole.shape[1:])
        grid = Grid(whole.shape[1:], cell)
        regions = [grid.region(c) for c in cells_of(Region.from_shape(grid.counts))] * 2
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda region: source.read(region, level), regions))
        for region, part in zip(regions, parts, strict=True):
            np.testing.assert_array_equal(part, whole[(slice(None), *region.slices())])

    def test_reading_does_not_change_its_identity(self, source: Source) -> None:
        before = source.info.identity
        source.read(Region.of(*((0, 1) for _ in range(source.info.ndim))), 0)
        assert before
        assert source.info.identity == before


class ExecutorConformance(ABC):
    """Inherit, and say how to make a scheduler that can run a job that is not picklable."""

    @abstractmethod
    def make_scheduler(self) -> Executor:
        """A new scheduler; the test closes it."""

    @pytest.fixture
    def scheduler(self):  # type: ignore[no-untyped-def]
        """The scheduler under test."""
        scheduler = self.make_scheduler()
        yield scheduler
        scheduler.close()

    def test_every_tile_is_made_once_and_right(self, scheduler: Executor) -> None:
        case = _Case()
        scheduler.run(case.job, case.queue, case.sink.commit, _never)
        assert (case.sink.times == 1).all()
        np.testing.assert_array_equal(case.sink.pixels, case.expected())

    def test_each_tile_lands_in_the_driving_thread_after_it_was_written(self, scheduler: Executor) -> None:
        case = _Case()
        early: list[Region] = []

        def commit(write: Region) -> None:
            case.sink.commit(write)
            early.extend(w for w in (write,) if w not in case.sink.written or w in case.queue.finished)

        scheduler.run(case.job, case.queue, commit, _never)
        assert {thread for _, thread in case.sink.commits} == {threading.current_thread().name}
        assert sorted(write for write, _ in case.sink.commits) == sorted(case.queue.finished)
        assert early == []

    def test_a_scheduler_can_run_again(self, scheduler: Executor) -> None:
        for _ in range(2):
            case = _Case()
            scheduler.run(case.job, case.queue, case.sink.commit, _never)
            assert (case.sink.times == 1).all()

    def test_an_empty_queue_is_no_work(self, scheduler: Executor) -> None:
        case = _Case()
        scheduler.run(case.job, ListQueue([]), case.sink.commit, _never)
        assert case.sink.written == []

    def test_the_first_failure_of_a_tile_is_raised_as_it_was_and_the_rest_given_back(self, scheduler: Executor) -> None:
        failure = InputDamaged("the image must be whole; got a hole; copy it again")
        case = _Case(fails_at=(30, 30), failure=failure)
        with pytest.raises(InputDamaged, match="got a hole"):
            scheduler.run(case.job, case.queue, case.sink.commit, _never)
        assert case.queue.taken == []
        assert sorted(case.queue.finished + case.queue.left) == sorted(case.writes)

    def test_a_failing_sink_stops_the_run(self, scheduler: Executor) -> None:
        case = _Case()

        def commit(write: Region) -> None:
            raise OSError(f"no space left for {write!r}")

        with pytest.raises(OSError, match="no space left"):
            scheduler.run(case.job, case.queue, commit, _never)
        assert (case.queue.taken, case.queue.finished) == ([], [])

    def test_a_stop_before_the_beginning_makes_nothing(self, scheduler: Executor) -> None:
        case = _Case()
        scheduler.run(case.job, case.queue, case.sink.commit, lambda: True)
        assert case.sink.written == []

    def test_a_stop_in_a_tile_keeps_what_is_finished_and_gives_the_rest_back(self, scheduler: Executor) -> None:
        case = _Case()
        steps = StepEngine(case.engine)
        stop = threading.Event()
        job = TileJob(case.job.source, 0, steps, case.sink)
        runner = threading.Thread(target=scheduler.run, args=(job, case.queue, case.sink.commit, stop.is_set))
        runner.start()
        steps.allow(2)
        assert steps.wait_for(2, WAIT_SECONDS)
        stop.set()
        steps.allow(len(case.writes))
        runner.join(WAIT_SECONDS)
        assert not runner.is_alive()
        assert case.queue.taken == []
        assert sorted(case.queue.finished) == sorted(case.sink.written)
        assert sorted(case.queue.finished + case.queue.left) == sorted(case.writes)
        assert len(case.queue.finished) == 2


class _Case:
    """A small image, its tiles and everything that makes them."""

    def __init__(self, fails_at: tuple[int, ...] | None = None, failure: BaseException | None = None) -> None:
        shape = (70, 50)
        grid = Grid(shape, (16, 16))
        self.writes = [grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts))]
        self.queue = ListQueue(self.writes)
        self.engine = BoxBlurEngine(shape, fails_at=fails_at, failure=failure)
        self.sink = RecordingSink(shape)
        self.job = TileJob(GradientSource(shape), 0, self.engine, self.sink)

    def expected(self) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """The whole image as one tile."""
        whole = Region.from_shape(self.sink.times.shape)
        engine = BoxBlurEngine(whole.shape)
        again: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = engine.compute(
            engine.tile(whole), self.job.read, _never
        )
        return again


@st.composite
def regions_inside(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    """A region of at least one pixel inside a level of this shape."""
    bounds = []
    for n in shape:
        lo = draw(st.integers(0, n - 1))
        bounds.append((lo, draw(st.integers(lo + 1, n))))
    return Region.of(*bounds)


def _small_levels(source: Source) -> list[int]:
    levels = source.info.levels
    small = [k for k in range(len(levels)) if Region.from_shape(levels.shape(k)).size <= LARGEST_PIXELS]
    assert small, "the conformance suite needs a source with a level below 4 Mpixel"
    return small


def _never() -> bool:
    return False
