"""A run: steering it in the middle changes when things are made, never what is made."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from napari_seamless.errors import BadRequest, OutputUnwritable
from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import Executor
from napari_seamless.runtime.executor.dask_executor import DaskExecutor
from napari_seamless.runtime.executor.driver import Driver, RunEvents
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first
from napari_seamless.testing.fakes import BoxBlurEngine, GradientSource, RecordingSink, StepEngine

SHAPE = (100, 120)
CHUNKS = Grid(SHAPE, (10, 10))
PATIENCE = 60.0


@pytest.fixture(params=["serial", "dask"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[Executor]:
    scheduler: Executor = SerialExecutor() if request.param == "serial" else DaskExecutor()
    yield scheduler
    scheduler.close()


class Slide:
    """A small image with an engine that is allowed one tile at a time."""

    def __init__(self, view: Region | None = None, whole: bool = True, tile: int = 20, **engine: object) -> None:
        self.engine = BoxBlurEngine(SHAPE, **engine)  # type: ignore[arg-type]
        self.steps = StepEngine(self.engine)
        self.sink = RecordingSink(SHAPE)
        self.job = TileJob(GradientSource(SHAPE), 0, self.steps, self.sink)
        self.queue = ViewFirstQueue(
            CHUNKS, Region.from_shape(SHAPE), np.zeros(CHUNKS.counts, bool), view_first, tile, view=view, whole=whole
        )

    def run(self, scheduler: Executor, **more: object) -> Driver:
        return Driver(self.job, self.queue, scheduler, **more).start()  # type: ignore[arg-type]

    def step(self, tiles: int) -> None:
        """Let some tiles be computed, and wait for the next one to stand in line."""
        before = len(self.engine.tiles)
        self.steps.allow(tiles)
        assert self.steps.wait_for(before + tiles, PATIENCE)

    def go_on(self) -> None:
        self.steps.allow(10_000)


def undisturbed() -> np.ndarray:
    slide = Slide()
    slide.go_on()
    SerialExecutor().run(slide.job, slide.queue, slide.sink.commit, lambda: False)
    return slide.sink.pixels


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise TimeoutError("it did not come true")


def test_a_run_ends_finished_with_everything_written_once(scheduler: Executor) -> None:
    slide = Slide()
    run = slide.run(scheduler)
    slide.go_on()
    run.wait(PATIENCE)
    progress = run.progress()
    assert (progress.state, progress.fraction, progress.eta) == ("finished", 1.0, 0.0)
    assert progress.tiles == len(slide.sink.written) == 30
    assert (slide.sink.times == 1).all()


def test_a_run_that_was_disturbed_gives_the_pixels_of_one_that_was_not(scheduler: Executor) -> None:
    slide = Slide(view=Region.of((0, 30), (0, 30)))
    run = slide.run(scheduler)
    slide.step(3)
    run.retarget(Region.of((70, 90), (80, 110)))
    slide.step(2)
    run.set_tile(40)
    slide.step(2)
    run.pause()
    run.set_tile(10)
    run.resume()
    run.retarget(None)
    slide.go_on()
    run.wait(PATIENCE)
    assert run.progress().state == "finished"
    assert (slide.sink.times == 1).all()
    np.testing.assert_array_equal(slide.sink.pixels, undisturbed())


def test_a_new_view_comes_next_after_at_most_the_one_tile_that_is_being_computed(scheduler: Executor) -> None:
    slide = Slide()
    run = slide.run(scheduler)
    slide.step(4)
    view, around = Region.of((80, 90), (100, 110)), Region.of((70, 100), (90, 120))
    run.retarget(view)
    slide.go_on()
    run.wait(PATIENCE)
    next_ones = slide.sink.written[4:7]  # the one in work, and two bound anew at once, of which either may be first
    assert any(write.overlaps(view) for write in next_ones)
    assert sum(not write.overlaps(around) for write in next_ones) <= 1
    assert (slide.sink.times == 1).all()


def test_a_tile_that_went_out_of_view_is_left_unfinished_and_made_later() -> None:
    slide = Slide(view=Region.of((0, 20), (0, 20)), tile=10)
    scheduler = DaskExecutor()
    run = slide.run(scheduler)
    slide.step(1)
    run.retarget(Region.of((80, 100), (100, 120)))
    slide.go_on()
    run.wait(PATIENCE)
    scheduler.close()
    assert all(write.overlaps(Region.of((80, 100), (100, 120))) for write in slide.sink.written[1:5])
    assert (slide.sink.times == 1).all()
    np.testing.assert_array_equal(slide.sink.pixels, undisturbed())


def test_a_pan_over_what_is_finished_leaves_the_tile_in_work_alone() -> None:
    slide = Slide(view=Region.of((0, 20), (0, 20)))
    scheduler = DaskExecutor()
    run = slide.run(scheduler)
    slide.step(8)
    (held,) = slide.steps.waiting
    run.retarget(Region.of((0, 10), (0, 10)))
    slide.step(1)
    assert slide.sink.written[-1] == held
    slide.go_on()
    run.wait(PATIENCE)
    scheduler.close()


def test_a_paused_run_finishes_the_tile_in_work_wherever_the_view_goes() -> None:
    slide = Slide(view=Region.of((0, 20), (0, 20)))
    scheduler = DaskExecutor()
    run = slide.run(scheduler)
    slide.step(8)
    (held,) = slide.steps.waiting
    run.pause()
    run.retarget(Region.of((80, 100), (100, 120)))
    slide.steps.allow(1)
    until(lambda: held in slide.sink.written)
    run.resume()
    slide.go_on()
    run.wait(PATIENCE)
    scheduler.close()


def test_a_paused_run_starts_nothing_new_until_it_is_resumed(scheduler: Executor) -> None:
    slide = Slide()
    run = slide.run(scheduler)
    slide.step(2)
    run.pause()
    in_flight = len(slide.queue.in_work)
    slide.go_on()
    until(lambda: slide.queue.in_work == ())
    assert run.progress().state == "paused"
    taking = 1  # a tile that was just being taken
    assert 3 <= len(slide.sink.written) <= 2 + in_flight + taking < 30
    run.wait(0.05)
    assert run.progress().state == "paused"
    run.resume()
    run.wait(PATIENCE)
    assert run.progress().state == "finished"
    assert (slide.sink.times == 1).all()


def test_a_cancelled_run_keeps_what_is_finished(scheduler: Executor) -> None:
    slide = Slide()
    run = slide.run(scheduler)
    slide.step(5)
    run.cancel()
    slide.go_on()
    run.wait(PATIENCE)
    progress = run.progress()
    assert progress.state == "cancelled"
    assert progress.done == sum(write.size for write in slide.sink.written) == 5 * 400
    done = slide.sink.times == 1
    np.testing.assert_array_equal(slide.sink.pixels[:, done], undisturbed()[:, done])


def test_a_paused_run_can_be_cancelled() -> None:
    slide = Slide()
    run = Driver(slide.job, slide.queue, SerialExecutor())
    run.pause()
    run.start()
    run.cancel()
    run.wait(PATIENCE)
    assert run.progress().state == "cancelled"
    assert slide.sink.written == []


def test_what_makes_a_tile_fail_is_raised_to_who_waits(scheduler: Executor) -> None:
    failure = OutputUnwritable("the disk must have room; got none; free some")
    slide = Slide(fails_at=(55, 55), failure=failure)
    run = slide.run(scheduler)
    slide.go_on()
    with pytest.raises(OutputUnwritable, match="disk must have room"):
        run.wait(PATIENCE)
    progress = run.progress()
    assert (progress.state, progress.error) == ("failed", failure)
    assert progress.done == sum(region.size for region, _ in slide.sink.commits) > 0


def test_a_failure_after_a_retarget_leaves_nothing_in_flight(scheduler: Executor) -> None:
    slide = Slide(fails_at=(85, 105), failure=OutputUnwritable("the disk must have room; got none; free some"))
    run = slide.run(scheduler)
    slide.step(4)
    run.retarget(Region.of((80, 90), (100, 110)))
    slide.go_on()
    with pytest.raises(OutputUnwritable, match="disk must have room"):
        run.wait(PATIENCE)
    assert slide.queue.in_work == ()
    assert 4 * 400 <= run.progress().done <= 6 * 400


def test_the_hooks_are_called_in_the_driving_thread_and_the_end_comes_once() -> None:
    slide = Slide()
    calls: list[tuple[str, str]] = []

    def note(what: str) -> None:
        calls.append((what, threading.current_thread().name))

    run = slide.run(SerialExecutor(), events=RunEvents(on_commit=lambda _: note("commit"), on_end=lambda: note("end")))
    slide.go_on()
    run.wait(PATIENCE)
    assert calls == [("commit", "napari-seamless run")] * 30 + [("end", "napari-seamless run")]


@pytest.mark.parametrize("end", ["cancel", "fail"])
def test_the_end_is_told_whatever_it_is(end: str) -> None:
    slide = Slide(fails_at=(0, 0), failure=OSError("gone"))
    ends: list[str] = []
    run = Driver(slide.job, slide.queue, SerialExecutor(), events=RunEvents(on_end=lambda: ends.append(end)))
    if end == "cancel":
        run.cancel()
    slide.go_on()
    run.start()
    until(lambda: run.is_over)
    assert ends == [end]
    assert run.progress().state == {"cancel": "cancelled", "fail": "failed"}[end]


def test_an_end_that_goes_wrong_makes_the_run_fail() -> None:
    def end() -> None:
        raise OSError("the report could not be written")

    slide = Slide()
    run = slide.run(SerialExecutor(), events=RunEvents(on_end=end))
    slide.go_on()
    with pytest.raises(OSError, match="report could not be written"):
        run.wait(PATIENCE)
    assert run.progress().state == "failed"


def test_a_run_of_the_view_alone_finishes_with_the_view() -> None:
    slide = Slide(view=Region.of((40, 60), (40, 60)), whole=False)
    run = slide.run(SerialExecutor())
    slide.go_on()
    run.wait(PATIENCE)
    assert run.progress().state == "finished"
    assert run.progress().fraction == 1.0
    assert sum(write.size for write in slide.sink.written) == 9 * 400


def test_a_run_that_follows_goes_on_with_the_next_view(scheduler: Executor) -> None:
    slide = Slide(view=Region.of((40, 60), (40, 60)), whole=False)
    slide.go_on()
    run = slide.run(scheduler, follow=True)
    run.wait(PATIENCE)
    assert run.progress().state == "finished"
    first = len(slide.sink.written)
    run.retarget(Region.of((40, 60), (60, 80)))
    until(lambda: len(slide.sink.commits) == first + 3 and run.progress().state == "finished")
    assert run.progress().state == "finished"
    run.cancel()
    until(lambda: run.is_over)
    assert run.progress().state == "cancelled"
    assert (slide.sink.times <= 1).all()


def test_a_run_that_follows_with_nothing_to_do_is_finished_at_once() -> None:
    slide = Slide(view=None, whole=False)
    run = slide.run(SerialExecutor(), follow=True)
    run.wait(PATIENCE)
    assert run.progress().state == "finished"
    run.cancel()
    until(lambda: run.is_over)


def test_a_tile_size_that_cuts_chunks_is_refused_and_the_run_goes_on() -> None:
    slide = Slide()
    run = slide.run(SerialExecutor())
    with pytest.raises(BadRequest, match="whole number of chunks"):
        run.set_tile(15)
    slide.go_on()
    run.wait(PATIENCE)
    assert run.progress().state == "finished"


def test_progress_tells_rate_and_eta_of_working_time() -> None:
    now = 100.0
    slide = Slide()
    run = Driver(slide.job, slide.queue, SerialExecutor(), clock=lambda: now)
    assert run.progress().eta is None
    run.start()
    assert slide.steps.wait_for(0, PATIENCE)
    now += 2
    slide.step(1)
    progress = run.progress()
    assert (progress.done, progress.seconds, progress.rate) == (400, 2.0, 200.0)
    assert progress.eta == (SHAPE[0] * SHAPE[1] - 400) / 200
    run.pause()
    now += 1000
    assert run.progress().seconds == 2.0
    run.cancel()
    slide.go_on()
    run.wait(PATIENCE)
