"""The device does not wait where it need not: reading goes on beside computing, and how far it worked is told."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from threading import Condition, Lock, Thread
from time import sleep
from typing import Any

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.geometry import Region, Tile
from napari_seamless.interfaces import DeviceTime, Executor, Pixels, StopFlag
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.executor.batcher import ENOUGH_SECONDS
from napari_seamless.runtime.executor.dask_executor import DaskExecutor
from napari_seamless.runtime.executor.driver import Driver
from napari_seamless.runtime.executor.job import ObservedJob, TileJob
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.executor.utilization import Utilization
from napari_seamless.testing.fakes import BoxBlurEngine, GradientSource, RecordingSink
from tile_queues import SHAPE, never, todo

PATIENCE = 60.0
"""Seconds after which something that ought to happen is taken to be missing."""


class Events:
    """What happened, in its order, and a way to wait for it."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._changed = Condition()

    def say(self, what: str) -> None:
        with self._changed:
            self.seen.append(what)
            self._changed.notify_all()

    def wait_for(self, what: str, times: int) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.seen.count(what) >= times, PATIENCE)


class TellingSource(GradientSource):
    """Says when it is read."""

    def __init__(self, events: Events, *shapes: tuple[int, int]) -> None:
        super().__init__(*shapes)
        self._events = events

    def read(self, region: Region, level: int = 0) -> Pixels:
        self._events.say("read")
        return super().read(region, level)


class PatientEngine(BoxBlurEngine):
    """Computes one tile at a time, and is not done with one before the next is being read: so slow is it.

    It is too slow for several tiles to travel together, of which one thread would make one after the other.
    """

    def __init__(self, events: Events, shape: tuple[int, int], tiles: int) -> None:
        super().__init__(shape)
        self._events = events
        self._number = 0
        self._tiles = tiles
        self._lock = Lock()

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        pixels = read(tile.read)
        with self._lock:
            self._number += 1
            self._events.say("compute")
            if self._number < self._tiles and not self._events.wait_for("read", self._number + 1):
                self._events.say("waited in vain")
            sleep(2 * ENOUGH_SECONDS)
            self._events.say("computed")
        return super().compute(tile, lambda _: pixels, stop)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_next_tile_is_read_while_one_is_computed(threads: int) -> None:
    events, sink, queue = Events(), RecordingSink(SHAPE), todo(50)
    engine = PatientEngine(events, SHAPE, tiles=6)
    scheduler = DaskExecutor(threads=threads)
    try:
        scheduler.run(TileJob(TellingSource(events, SHAPE), 0, engine, sink), queue, sink.commit, never)
    finally:
        scheduler.close()
    assert events.seen.count("computed") == 6
    assert "waited in vain" not in events.seen
    for number in range(1, 6):
        ends = [i for i, what in enumerate(events.seen) if what == "computed"]
        assert events.seen[: ends[number - 1]].count("read") > number


def test_the_real_engine_lets_others_read_while_it_computes() -> None:
    engine = TorchEngine(ns.prepare(torch.nn.Conv2d(1, 1, 3), GradientSource((64, 64))).program, "cpu")
    events, tile = Events(), engine.tile(Region.from_shape((62, 62)))

    def compute(stop: StopFlag) -> None:
        engine.compute(tile, TellingSource(events, (64, 64)).read, stop)

    def slow() -> bool:
        """Between operators: wait until the other tile is being read."""
        events.say("computing" if events.wait_for("read", 2) else "waited in vain")
        return False

    first = Thread(target=compute, args=(slow,))
    first.start()
    assert events.wait_for("read", 1)
    second = Thread(target=compute, args=(never,))
    second.start()
    for thread in (first, second):
        thread.join(PATIENCE)
    assert events.seen[:3] == ["read", "read", "computing"]


class MeetingSource(GradientSource):
    """The first read does not end before another one has begun."""

    def __init__(self, events: Events, *shapes: tuple[int, int]) -> None:
        super().__init__(*shapes)
        self._events = events

    def read(self, region: Region, level: int = 0) -> Pixels:
        self._events.say("read")
        if not self._events.wait_for("read", 2):
            self._events.say("waited in vain")
        return super().read(region, level)


def test_a_run_reads_ahead_on_a_processor_too() -> None:
    events = Events()
    ns.run(torch.nn.Conv2d(1, 1, 3), MeetingSource(events, (260, 260)), tile=64, device="cpu")
    assert "waited in vain" not in events.seen


# -- the figure


class TimedEngine(BoxBlurEngine):
    """Says that every tile cost its device so many hours of a clock that it moves."""

    def __init__(self, clock: list[float], read: float, compute: float) -> None:
        super().__init__(SHAPE)
        self._clock, self._read, self._compute = clock, read, compute
        self._spent = 0.0

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        self._clock[0] += self._read + self._compute
        self._spent += self._compute
        return super().compute(tile, read, stop)

    def take_device_time(self) -> DeviceTime:
        seconds, self._spent = self._spent, 0.0
        return DeviceTime("fake", seconds)


@pytest.fixture(params=["serial", "dask"])
def scheduler(request: pytest.FixtureRequest) -> Iterator[Executor]:
    scheduler: Executor = SerialExecutor() if request.param == "serial" else DaskExecutor()
    yield scheduler
    scheduler.close()


@pytest.mark.parametrize(("read", "share"), [(0.0, 1.0), (1.0, 0.75), (9.0, 0.25)])
def test_a_run_says_what_share_of_the_time_the_device_was_at_work(
    read: float, share: float, scheduler: Executor
) -> None:
    clock, sink = [0.0], RecordingSink(SHAPE)
    job = TileJob(GradientSource(SHAPE), 0, TimedEngine(clock, read, 3.0), sink)
    run = Driver(job, todo(), scheduler, clock=lambda: clock[0])
    assert run.progress().utilization is None
    run.start().wait(PATIENCE)
    utilization = run.progress().utilization
    assert utilization is not None
    # with dask the last tile's time may be up before the one before it is told
    assert abs(utilization - share) < (1e-9 if isinstance(scheduler, SerialExecutor) else 0.1)


def test_an_engine_that_does_not_count_leaves_the_figure_out() -> None:
    sink = RecordingSink(SHAPE)
    run = Driver(TileJob(GradientSource(SHAPE), 0, BoxBlurEngine(SHAPE), sink), todo(), SerialExecutor()).start()
    run.wait(PATIENCE)
    assert run.progress().utilization is None


def test_time_without_a_tile_in_flight_and_that_of_every_engine_counts() -> None:
    utilization = Utilization()
    utilization.tile_started(10.0)
    utilization.tile_started(11.0)
    utilization.add(DeviceTime("a", 3.0), 14.0)
    utilization.tile_ended(14.0)
    utilization.add(DeviceTime("b", 1.0), 14.0)
    utilization.tile_ended(14.0)
    assert utilization.share == (3 + 1) / (4 + 4)
    utilization.begin_pass()
    utilization.tile_started(100.0)
    utilization.add(DeviceTime("c", 2.0), 102.0)
    assert utilization.share == (3 + 1 + 2) / (4 + 4 + 2)


def test_a_job_in_another_process_is_a_plain_one() -> None:
    job = TileJob(GradientSource(SHAPE), 0, TimedEngine([0.0], 0.0, 0.0), RecordingSinkLike())
    assert type(pickle.loads(pickle.dumps(ObservedJob(job, print)))) is TileJob


class RecordingSinkLike:
    """A sink that can be pickled, and keeps nothing."""

    def write(self, region: Region, pixels: Pixels) -> None: ...

    def commit(self, region: Region) -> None: ...


def test_a_report_says_how_busy_the_device_was() -> None:
    image = np.random.default_rng(0).integers(0, 255, (300, 300), dtype=np.uint8)
    result = ns.run(torch.nn.Conv2d(1, 4, 5), image, tile=128, device="cpu", scheduler="serial")
    utilization = result.report.utilization
    assert utilization is not None
    assert 0 < utilization <= 1
    assert result.report.as_dict()["utilization"] == utilization
