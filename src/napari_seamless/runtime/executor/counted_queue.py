"""What becomes of every tile of a run: counted between its queue and the executor."""

from __future__ import annotations

from collections.abc import Callable
from threading import Condition

from napari_seamless.errors import RegionUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import DeviceTime, TileQueue
from napari_seamless.runtime.executor.throughput import MonotonicClock, Throughput
from napari_seamless.runtime.executor.utilization import Utilization

MOST_FAILURES = 256
"""So many regions in a row that cannot be read are no damaged spot: the image is gone."""


class TileCounts:
    """Tiles, throughput and utilization of one run, over all of its passes. Any thread; guarded by the run's `lock`."""

    def __init__(self, lock: Condition, clock: Callable[[], float]) -> None:
        self._lock = lock
        self._clock = MonotonicClock(clock)
        self._throughput = Throughput()
        self._utilization = Utilization()
        self.tiles = 0
        self.failures_in_a_row = 0

    @property
    def rate(self) -> float:
        """Output pixels per second, smoothed over about ten seconds; 0 until something is done."""
        return self._throughput.rate(self._clock())

    @property
    def seconds(self) -> float:
        """Seconds of work so far."""
        return self._throughput.seconds(self._clock())

    @property
    def utilization(self) -> float | None:
        """See `Utilization.share`."""
        return self._utilization.share

    def set_running(self, running: bool) -> None:
        """Work begins or goes on, or rests: only the time in between counts."""
        with self._lock:
            if running:
                self._throughput.start(self._clock())
            else:
                self._throughput.stop(self._clock())

    def begin_pass(self) -> None:
        """Another engine does the tiles from here on."""
        with self._lock:
            self._utilization.begin_pass()

    def tile_started(self) -> None:
        """A tile is taken."""
        with self._lock:
            self._utilization.tile_started(self._clock())

    def tile_ended(self) -> None:
        """A tile came back, made or not."""
        with self._lock:
            self._utilization.tile_ended(self._clock())

    def tile_done(self, pixels: int) -> None:
        """A tile that came back was made, which is worth so many output pixels."""
        with self._lock:
            self.tiles += 1
            self.failures_in_a_row = 0
            self._throughput.add(self._clock(), pixels)

    def add_device_time(self, time: DeviceTime) -> None:
        """An engine says how long its device was at work."""
        with self._lock:
            self._utilization.add(time, self._clock())


class CountedQueue:
    """The queue of one pass as the executor sees it; implements `interfaces.TileQueue`. Any thread.

    Nothing is given, and nothing preempted, while `is_held()`. A tile that is done counts as `weight` output pixels of
    the run for each of its own, and is told to `on_done` in the driving thread. What cannot be read is left out where
    the pass `may_fail`; otherwise, and after MOST_FAILURES in a row, it is given back and the error raised.
    """

    def __init__(
        self,
        queue: TileQueue,
        counts: TileCounts,
        is_held: Callable[[], bool],
        *,
        weight: float = 1.0,
        on_done: Callable[[Region], None] | None = None,
        may_fail: bool = False,
    ) -> None:
        self._queue = queue
        self._counts = counts
        self._is_held = is_held
        self._weight = weight
        self._on_done = on_done
        self._may_fail = may_fail

    @property
    def revision(self) -> int:
        return self._queue.revision

    def take(self) -> Region | None:
        write = None if self._is_held() else self._queue.take()
        if write is not None:
            self._counts.tile_started()
        return write

    def done(self, write: Region) -> None:
        self._queue.done(write)
        self._counts.tile_ended()
        self._counts.tile_done(round(write.size * self._weight))
        if self._on_done is not None:
            self._on_done(write)

    def give_back(self, write: Region) -> None:
        self._queue.give_back(write)
        self._counts.tile_ended()

    def fail(self, write: Region, error: RegionUnreadable) -> None:
        self._counts.tile_ended()
        self._counts.failures_in_a_row += 1
        if not self._may_fail or self._counts.failures_in_a_row >= MOST_FAILURES:
            self._queue.give_back(write)
            raise error
        self._queue.fail(write, error)

    def is_preempted(self, write: Region) -> bool:
        return not self._is_held() and self._queue.is_preempted(write)
