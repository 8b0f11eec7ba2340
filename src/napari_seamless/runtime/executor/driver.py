"""A started plan: one daemon thread drives an executor through the queues of a run, and anybody may steer.

Steering never touches the executor: a pause makes the queue give nothing, a retarget changes what it gives next. The
executor returns when it gets nothing more, and the driving thread then waits until there is something again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Self

from napari_seamless.geometry import Region
from napari_seamless.interfaces import (
    Executor,
    Job,
    PrecedingPass,
    Progress,
    RunState,
    StopFlag,
    TileResult,
    TimedEngine,
)
from napari_seamless.runtime.executor.counted_queue import CountedQueue, TileCounts
from napari_seamless.runtime.executor.job import ObservedJob
from napari_seamless.runtime.executor.run_control import RunControl
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue

POLL_SECONDS = 0.05


@dataclass(frozen=True)
class RunEvents:
    """What is called in the driving thread of a run, and when.

    `on_start()` before the first pass. `on_commit(region)` after a tile of the output was written, committed and
    counted. `on_idle(stop)` whenever all that is asked for is done, before the state says so; `stop` tells it that
    something else is wanted, and it may ask the queue for more. `on_end()` once, whatever the end, after the state has
    become final for a run that does not follow; what it raises makes the run fail. `on_result(write, result)` before
    the commit of a tile of any pass.

    While `should_wait()` says True, asked about twenty times a second, no new tile of the passes that measure is begun.
    """

    on_start: Callable[[], None] | None = None
    on_commit: Callable[[Region], None] | None = None
    on_idle: Callable[[StopFlag], None] | None = None
    on_end: Callable[[], None] | None = None
    should_wait: Callable[[], bool] | None = None
    on_result: Callable[[Region, TileResult], None] | None = None


class Driver:
    """Implements `interfaces.RunHandle`; `start` makes it go.

    With `follow` the run does not end when its queue is finished: it shows state "finished" and goes on when it is
    retargeted to something that is not done, until it is cancelled. The executor stays the caller's, who closes it (for
    example in `events.on_end`).

    `preceding` are the passes that must be over first, in order; the `job` of the run's own tiles may be a function
    then, which is called in the driving thread after the last of them.

    What cannot be read is left out, and `progress` counts it; in a pass that measures it ends the run, since moments of
    less than the whole would make everything else wrong. So do `counted_queue.MOST_FAILURES` in a row.
    """

    def __init__(
        self,
        job: Job | Callable[[], Job],
        queue: ViewFirstQueue,
        executor: Executor,
        *,
        preceding: Sequence[PrecedingPass] = (),
        follow: bool = False,
        events: RunEvents | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._queue = queue
        self._executor = executor
        self._preceding = tuple(preceding)
        self._passes_done = 0
        self._follow = follow
        self._events = events or RunEvents()
        self._lock = Condition()
        self._counts = TileCounts(self._lock, clock)
        self._control = RunControl(self._lock, lambda s: self._counts.set_running(s == "running"), follows=follow)
        self._thread = Thread(target=self._drive, name="napari-seamless run", daemon=True)

    def start(self) -> Self:
        """Begin, in a thread of its own; once."""
        self._thread.start()
        return self

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for the end."""
        return self._control.is_cancelled

    @property
    def is_over(self) -> bool:
        """Whether the driving thread has done its last work."""
        return self._control.is_over

    def progress(self) -> Progress:
        """A snapshot. The rate is smoothed over about ten seconds; there is no eta before the first tile is done."""
        done, total, pass_fraction = self._pixels()
        with self._lock:
            rate, state = self._counts.rate, self._control.state
            eta = (total - done) / rate if rate > 0 else None
            return Progress(
                state=state,
                done=done,
                total=total,
                tiles=self._counts.tiles,
                seconds=self._counts.seconds,
                rate=rate,
                eta=0.0 if state == "finished" else eta,
                error=self._control.error,
                pass_number=self._passes_done + 1,
                passes=len(self._preceding) + 1,
                failed=self._queue.failed_pixels,
                pass_fraction=pass_fraction,
                utilization=self._counts.utilization,
            )

    def _pixels(self) -> tuple[int, int, float]:
        """Output pixels (done, total), those of preceding passes in proportion to their work, and the present pass's
        share that is done."""
        number = self._passes_done
        done, total = self._queue.counts
        fraction = done / total if total else 1.0
        measured = sum(p.cost for p in self._preceding[:number])
        if number < len(self._preceding):
            some, of = self._preceding[number].queue.counts
            fraction = some / max(of, 1)
            measured += self._preceding[number].cost * fraction
        return done + round(measured), total + round(sum(p.cost for p in self._preceding)), fraction

    def retarget(self, view: Region | None) -> None:
        """Make what `view` (output pixels) shows next."""
        self._queue.retarget(view)
        self._control.wake()

    def set_tile(self, tile: int) -> None:
        """Use another tile edge from the next tile on; BadRequest unless it is a whole number of chunks."""
        self._queue.set_tile(tile)
        self._control.wake()

    def pause(self) -> None:
        """Start no new tile; those in flight are finished."""
        self._control.pause()

    def resume(self) -> None:
        """Go on after a pause."""
        self._control.resume()

    def cancel(self) -> None:
        """Stop within about one tile; what is finished is kept."""
        self._control.cancel()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run is finished, cancelled or failed, or `timeout` seconds have gone by; raise its failure.

        A time-out and a cancelled run raise nothing: the state says so.
        """
        self._control.wait_settled(timeout)

    # -- the driving thread

    def _drive(self) -> None:
        state: RunState = "failed"
        try:
            state = self._work()
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits, and shown in progress
            self._control.error = error
        self._control.enter(state)
        try:
            if self._events.on_end is not None:
                self._events.on_end()
        except BaseException as error:  # noqa: BLE001 - as above
            self._control.error = self._control.error or error
            state = "failed"
        self._control.end(state)

    def _work(self) -> RunState:
        if self._events.on_start is not None:
            self._events.on_start()
        for preceding in self._preceding:
            if not self._measure(preceding):
                return "cancelled"
        return self._make_output()

    def _measure(self, preceding: PrecedingPass) -> bool:
        """Do a pass that measures; False when the run was cancelled before it was over."""
        job = preceding.begin()
        weight = preceding.cost / max(preceding.queue.counts[1], 1)
        queue = CountedQueue(preceding.queue, self._counts, self._is_measuring_held, weight=weight)
        while not preceding.queue.is_finished:
            with self._lock:
                while not self.is_cancelled and self._is_measuring_held():
                    self._lock.wait(POLL_SECONDS)
                if self.is_cancelled:
                    return False
                self._control.enter("running")
            self._run(job, queue)
            if self._control.is_stopped():
                return False
        preceding.end()
        self._passes_done += 1
        self._counts.begin_pass()
        return True

    def _make_output(self) -> RunState:
        """Make the run's own tiles, for as long as any are asked for."""
        job = None if callable(self._job) else self._job
        queue = CountedQueue(self._queue, self._counts, self._is_held, on_done=self._events.on_commit, may_fail=True)
        while True:
            revision = self._queue.revision
            is_finished = self._queue.is_finished  # it may have to search: without the lock
            if is_finished:
                self._be_idle(revision)
            with self._lock:
                if is_finished and not self._follow and self._queue.revision == revision:
                    return "finished"
                if is_finished and not self.is_cancelled:
                    self._control.enter("finished")
                self._lock.wait_for(lambda: self._can_go_on(is_finished, revision))  # noqa: B023 - called here only
                if self.is_cancelled:
                    return "cancelled"
                if is_finished:
                    continue
                self._control.enter("running")
            if job is None:
                job = self._job() if callable(self._job) else self._job
            self._run(job, queue)

    def _run(self, job: Job, queue: CountedQueue) -> None:
        """Make what the queue gives. What the engine did meanwhile for others does not count."""
        if isinstance(job.engine, TimedEngine):
            job.engine.take_device_time()
        observed = ObservedJob(job, self._counts.add_device_time, self._events.on_result)
        self._executor.run(observed, queue, job.sink.commit, self._control.is_stopped)

    def _be_idle(self, revision: int) -> None:
        """All that was asked for at `revision` is done."""
        if self._events.on_idle is not None and not self.is_cancelled:
            self._events.on_idle(lambda: self.is_cancelled or self._queue.revision != revision)

    def _is_held(self) -> bool:
        return self._control.is_paused

    def _is_measuring_held(self) -> bool:
        """Whether no new tile of a pass that measures may be started just now."""
        waits = self._events.should_wait
        return self._control.is_paused or (waits is not None and waits())

    def _can_go_on(self, is_finished: bool, revision: int) -> bool:
        """Whether there is something to start, to look at again, or a reason to end."""
        if self.is_cancelled:
            return True
        return self._queue.revision != revision if is_finished else not self._control.is_paused
