"""What every executor must do, as tests to inherit."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod

import numpy as np
import pytest

from napari_seamless.errors import InputDamaged
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Executor, Pixels
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.testing.fakes import (
    BoxBlurEngine,
    DamagedSource,
    GradientSource,
    ListQueue,
    RecordingSink,
    StepEngine,
)

WAIT_SECONDS = 30.0


class ExecutorConformance(ABC):
    """Inherit, and say how to make an executor that can run a job that is not picklable."""

    @abstractmethod
    def make_executor(self) -> Executor:
        """A new executor; the test closes it."""

    @pytest.fixture
    def executor(self):  # type: ignore[no-untyped-def]
        """The executor under test."""
        executor = self.make_executor()
        yield executor
        executor.close()

    def test_every_tile_is_made_once_and_right(self, executor: Executor) -> None:
        case = _Case()
        executor.run(case.job, case.queue, case.sink.commit, _never)
        assert (case.sink.times == 1).all()
        np.testing.assert_array_equal(case.sink.pixels, case.expected())

    def test_each_tile_is_committed_in_the_driving_thread_after_it_was_written(self, executor: Executor) -> None:
        case = _Case()
        early: list[Region] = []

        def commit(write: Region) -> None:
            case.sink.commit(write)
            early.extend(w for w in (write,) if w not in case.sink.written or w in case.queue.finished)

        executor.run(case.job, case.queue, commit, _never)
        assert {thread for _, thread in case.sink.commits} == {threading.current_thread().name}
        assert sorted(write for write, _ in case.sink.commits) == sorted(case.queue.finished)
        assert early == []

    def test_an_executor_can_run_again(self, executor: Executor) -> None:
        for _ in range(2):
            case = _Case()
            executor.run(case.job, case.queue, case.sink.commit, _never)
            assert (case.sink.times == 1).all()

    def test_an_empty_queue_is_no_work(self, executor: Executor) -> None:
        case = _Case()
        executor.run(case.job, ListQueue([]), case.sink.commit, _never)
        assert case.sink.written == []

    def test_the_first_failure_of_a_tile_is_raised_as_it_was_and_the_rest_given_back(self, executor: Executor) -> None:
        failure = InputDamaged("the image must be whole; got a hole; copy it again")
        case = _Case(fails_at=(30, 30), failure=failure)
        with pytest.raises(InputDamaged, match="got a hole"):
            executor.run(case.job, case.queue, case.sink.commit, _never)
        assert case.queue.taken == []
        assert sorted(case.queue.finished + case.queue.left) == sorted(case.writes)

    def test_a_failing_sink_stops_the_run(self, executor: Executor) -> None:
        case = _Case()

        def commit(write: Region) -> None:
            raise OSError(f"no space left for {write!r}")

        with pytest.raises(OSError, match="no space left"):
            executor.run(case.job, case.queue, commit, _never)
        assert (case.queue.taken, case.queue.finished) == ([], [])

    def test_a_tile_that_cannot_be_read_fails_and_the_others_are_made(self, executor: Executor) -> None:
        case = _Case(damaged=Region.of((20, 22), (20, 22)))
        executor.run(case.job, case.queue, case.sink.commit, _never)
        unreadable = [w for w in case.writes if case.engine.tile(w).read.overlaps(Region.of((20, 22), (20, 22)))]
        assert sorted(case.queue.failed) == sorted(unreadable)
        assert sorted(case.queue.finished) == sorted(set(case.writes) - set(unreadable))

    def test_what_a_sink_returns_is_received_in_the_driving_thread_before_the_commit(self, executor: Executor) -> None:
        case = _Case()
        sink = _ReceivingSink()
        executor.run(TileJob(case.job.source, 0, case.engine, sink), case.queue, sink.commit, _never)
        here = threading.current_thread().name
        assert sink.received == [(region, ("receipt", region), here) for region in sink.committed]
        assert sorted(sink.committed) == sorted(case.writes)

    def test_a_stop_before_the_beginning_makes_nothing(self, executor: Executor) -> None:
        case = _Case()
        executor.run(case.job, case.queue, case.sink.commit, lambda: True)
        assert case.sink.written == []

    def test_a_stop_in_a_tile_keeps_what_is_finished_and_gives_the_rest_back(self, executor: Executor) -> None:
        case = _Case()
        steps = StepEngine(case.engine)
        stop = threading.Event()
        job = TileJob(case.job.source, 0, steps, case.sink)
        runner = threading.Thread(target=executor.run, args=(job, case.queue, case.sink.commit, stop.is_set))
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


class _ReceivingSink:
    """Returns something for every write."""

    def __init__(self) -> None:
        self.received: list[tuple[Region, object, str]] = []
        self.committed: list[Region] = []

    def write(self, region: Region, pixels: Pixels) -> object:
        del pixels
        return "receipt", region

    def receive(self, region: Region, receipt: object) -> None:
        self.received.append((region, receipt, threading.current_thread().name))

    def commit(self, region: Region) -> None:
        self.committed.append(region)


class _Case:
    """A small image, its tiles and everything that makes them."""

    def __init__(
        self,
        fails_at: tuple[int, ...] | None = None,
        failure: BaseException | None = None,
        damaged: Region | None = None,
    ) -> None:
        shape = (70, 50)
        grid = Grid(shape, (16, 16))
        self.writes = [grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts))]
        self.queue = ListQueue(self.writes)
        self.engine = BoxBlurEngine(shape, fails_at=fails_at, failure=failure)
        self.sink = RecordingSink(shape)
        whole = GradientSource(shape)
        source = whole if damaged is None else DamagedSource(whole, damaged)
        self.job = TileJob(source, 0, self.engine, self.sink)

    def expected(self) -> np.ndarray[tuple[int, ...], np.dtype[np.generic]]:
        """The whole image as one tile."""
        whole = Region.from_shape(self.sink.times.shape)
        engine = BoxBlurEngine(whole.shape)
        again: np.ndarray[tuple[int, ...], np.dtype[np.generic]] = engine.compute(
            engine.tile(whole), self.job.read, _never
        )
        return again


def _never() -> bool:
    return False
