"""A started plan: one daemon thread drives a scheduler through an agenda, and anybody may steer.

::

    waiting --> running <--> paused          every state but the last three can still be steered;
                   |  \\-------> cancelled    with `follow`, finished goes back to running when a new view
                   v   \\------> failed       shows something that is not done
                finished

Steering never touches the scheduler: a pause shuts the gate through which it takes tiles, a retarget changes what
the agenda gives next. The scheduler returns when nothing comes through the gate, and the driving thread then waits on
a condition until something can.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Self

from napari_seamless.errors import RegionUnreadable
from napari_seamless.geometry import Region
from napari_seamless.interfaces import (
    DeviceTime,
    Executor,
    Job,
    PrecedingPass,
    Progress,
    RunState,
    StopFlag,
    TimedEngine,
)
from napari_seamless.interfaces import TileQueue as AnyAgenda
from napari_seamless.runtime.executor.throughput import MonotonicClock, Throughput
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.executor.utilization import ObservedJob, Utilization

Landed = Callable[[Region], None]
Ended = Callable[[], None]
LOOK_SECONDS = 0.05

MOST_FAILURES = 256
"""So many regions in a row that cannot be read are no damaged spot: the image is gone."""


class Driver:
    """Implements `interfaces.RunHandle`; `start` makes it go.

    `on_landed(region)` is called in the driving thread after a tile was written, told to the sink and counted.
    `on_end()` is called there once, whatever the end, after the state has become final for a run that does not
    follow; what it raises makes the run fail. With `follow` the run does not end when its agenda is finished: it
    shows state "finished" and goes on when it is retargeted to something that is not done, until it is cancelled.
    The scheduler stays the caller's, who closes it (for example in `on_end`).

    `before` are the passes that must be over first, in order; the `job` of the run's own tiles may be a function then,
    which is called in the driving thread after the last of them. `on_start()` is called there before the first. While
    `gives_way()` says True, asked about twenty times a second, no new tile of those passes is started.

    What cannot be read is left out, and `progress` counts it; in a pass that measures it ends the run, since moments of
    less than the whole would make everything else wrong. So do MOST_FAILURES in a row.

    `on_rest(stop)` is called in the driving thread whenever all that is asked for is done, before the state says so;
    `stop` tells it that something else is wanted.
    """

    def __init__(
        self,
        job: Job | Callable[[], Job],
        agenda: ViewFirstQueue,
        scheduler: Executor,
        *,
        before: Sequence[PrecedingPass] = (),
        follow: bool = False,
        on_landed: Landed | None = None,
        on_end: Ended | None = None,
        on_start: Ended | None = None,
        on_rest: Callable[[StopFlag], None] | None = None,
        gives_way: Callable[[], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = job
        self._agenda = agenda
        self._before = tuple(before)
        self._stage: PrecedingPass | None = self._before[0] if self._before else None
        self._scheduler = scheduler
        self._follow = follow
        self._on_landed = on_landed
        self._on_end = on_end
        self._on_start = on_start
        self._on_rest = on_rest
        self._gives_way = gives_way
        self._clock = MonotonicClock(clock)
        self._changed = Condition()
        self._state: RunState = "waiting"
        self._is_paused = False
        self._is_cancelled = False
        self._is_over = False
        self._error: BaseException | None = None
        self._tiles = 0
        self._failed = 0
        self._failures_in_a_row = 0
        self._pace = Throughput()
        self._busy = Utilization()
        self._thread = Thread(target=self._drive, name="napari-seamless run", daemon=True)

    def start(self) -> Self:
        """Begin, in a thread of its own; once."""
        self._thread.start()
        return self

    @property
    def is_cancelled(self) -> bool:
        """Whether somebody asked for the end."""
        return self._is_cancelled

    def progress(self) -> Progress:
        """A snapshot. The rate is smoothed over about ten seconds; there is no eta before the first tile is done."""
        done, total, share = self._counts()
        with self._changed:
            now = self._clock()
            rate = self._pace.rate(now)
            eta = (total - done) / rate if rate > 0 else None
            return Progress(
                state=self._state,
                done=done,
                total=total,
                tiles=self._tiles,
                seconds=self._pace.seconds(now),
                rate=rate,
                eta=0.0 if self._state == "finished" else eta,
                error=self._error,
                pass_number=self._number(),
                passes=len(self._before) + 1,
                failed=self._failed,
                pass_fraction=share,
                busy=self._busy.share,
            )

    def _counts(self) -> tuple[int, int, float]:
        """Output pixels (done, total), those of the stages before in proportion to their work, and the present one's
        share that is done."""
        done, total = self._agenda.counts
        share = done / total if total else 1.0
        number = self._number() - 1
        over = sum(stage.cost for stage in self._before[:number])
        if number < len(self._before):
            some, of = self._before[number].agenda.counts
            share = some / max(of, 1)
            over += self._before[number].cost * share
        return done + round(over), total + round(sum(stage.cost for stage in self._before)), share

    def _number(self) -> int:
        """The present pass, counted from 1."""
        stage = self._stage
        return len(self._before) + 1 if stage is None else self._before.index(stage) + 1

    def retarget(self, view: Region | None) -> None:
        """Make what `view` (output pixels) shows next."""
        self._agenda.retarget(view)
        self._wake()

    def set_tile(self, tile: int) -> None:
        """Use another tile edge from the next tile on; BadRequest unless it is a whole number of chunks."""
        self._agenda.set_tile(tile)
        self._wake()

    def pause(self) -> None:
        """Start no new tile; those in flight are finished."""
        with self._changed:
            self._is_paused = True
            if self._state in ("waiting", "running"):
                self._enter("paused")

    def resume(self) -> None:
        """Go on after a pause."""
        with self._changed:
            self._is_paused = False
            if self._state == "paused":
                self._enter("running")
            self._changed.notify_all()

    def cancel(self) -> None:
        """Stop within about one tile; what is finished is kept."""
        with self._changed:
            self._is_cancelled = True
            self._changed.notify_all()

    def wait(self, timeout: float | None = None) -> None:
        """Block until the run is finished, cancelled or failed, or `timeout` seconds have gone by; raise its failure.

        A time-out and a cancelled run raise nothing: the state says so.
        """
        with self._changed:
            self._changed.wait_for(self._is_settled, timeout)
            if self._error is not None:
                raise self._error

    def _is_settled(self) -> bool:
        return self._is_over or (self._follow and self._state == "finished" and not self._is_cancelled)

    def _drive(self) -> None:
        """The driving thread."""
        state: RunState = "failed"
        try:
            state = self._work()
        except BaseException as error:  # noqa: BLE001 - carried to whoever waits, and shown in progress
            self._error = error
        self._finish(state)

    def _work(self) -> RunState:
        if self._on_start is not None:
            self._on_start()
        for stage in self._before:
            self._stage = stage
            if not self._get_through(stage):
                return "cancelled"
        self._stage = None
        job = None if callable(self._job) else self._job
        while True:
            revision = self._agenda.revision
            is_finished = self._agenda.is_finished  # it may have to search: without the lock
            if is_finished and self._on_rest is not None and not self._is_cancelled:
                self._on_rest(lambda: self._is_cancelled or self._agenda.revision != revision)  # noqa: B023 - as below
            with self._changed:
                if is_finished and not self._follow:
                    return "finished"
                if is_finished and not self._is_cancelled:
                    self._enter("finished")
                self._changed.wait_for(lambda: self._can_go_on(is_finished, revision))  # noqa: B023 - called here only
                if self._is_cancelled:
                    return "cancelled"
                if is_finished:
                    continue
                self._enter("running")
            if job is None:
                job = self._job() if callable(self._job) else self._job
            self._go_through(job, _Gate(self, self._agenda))

    def _get_through(self, stage: PrecedingPass) -> bool:
        """Do a pass that measures; False when the run was cancelled before it was over."""
        job = stage.begin()
        weight = stage.cost / max(stage.agenda.counts[1], 1)
        while not stage.agenda.is_finished:
            with self._changed:
                while not self._is_cancelled and self._holds_back(stage):
                    self._changed.wait(LOOK_SECONDS)
                if self._is_cancelled:
                    return False
                self._enter("running")
            self._go_through(job, _Gate(self, stage.agenda, weight))
            if self._stopped():
                return False
        stage.end()
        with self._changed:
            self._busy.begin_pass()
        return True

    def _go_through(self, job: Job, gate: _Gate) -> None:
        """Make what comes through the gate. What the engine did meanwhile for others does not count."""
        if isinstance(job.engine, TimedEngine):
            job.engine.spent()
        heard = ObservedJob(job.source, job.level, job.engine, job.sink, self._hear)
        self._scheduler.run(heard, gate, job.sink.landed, self._stopped)

    def _holds_back(self, stage: PrecedingPass | None) -> bool:
        """Whether no new tile may be started just now."""
        return self._is_paused or (stage is not None and self._gives_way is not None and self._gives_way())

    def _can_go_on(self, is_finished: bool, revision: int) -> bool:
        """Whether there is something to start, to look at again, or a reason to end."""
        if self._is_cancelled:
            return True
        return self._agenda.revision != revision if is_finished else not self._is_paused

    def _finish(self, state: RunState) -> None:
        """Tell `on_end`, then everybody who waits."""
        with self._changed:
            self._enter(state)
        try:
            if self._on_end is not None:
                self._on_end()
        except BaseException as error:  # noqa: BLE001 - as in _drive
            self._error = self._error or error
            state = "failed"
        with self._changed:
            self._enter(state)
            self._is_over = True
            self._changed.notify_all()

    def _enter(self, state: RunState) -> None:
        """Change the state; the condition is held."""
        self._state = state
        if state == "running":
            self._pace.start(self._clock())
        else:
            self._pace.rest(self._clock())
        self._changed.notify_all()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _stopped(self) -> bool:
        return self._is_cancelled

    def _hear(self, spent: DeviceTime) -> None:
        with self._changed:
            self._busy.hear(spent, self._clock())

    def _depart(self) -> None:
        with self._changed:
            self._busy.depart(self._clock())

    def _arrive(self) -> None:
        with self._changed:
            self._busy.arrive(self._clock())

    def _count(self, write: Region, weight: float) -> None:
        with self._changed:
            self._tiles += 1
            self._failures_in_a_row = 0
            self._pace.gain(self._clock(), round(write.size * weight))
        if self._on_landed is not None and self._stage is None:
            self._on_landed(write)

    def _fail(self, agenda: AnyAgenda, write: Region, error: RegionUnreadable) -> None:
        """Leave a region out, or raise."""
        self._failures_in_a_row += 1
        if self._stage is not None or self._failures_in_a_row >= MOST_FAILURES:
            agenda.give_back(write)
            raise error
        agenda.fail(write, error)
        self._failed = self._agenda.failed_pixels


class _Gate:
    """The agenda as the scheduler sees it: nothing comes while the run is paused, and what is done is counted, each
    pixel as `weight` of the run's own."""

    def __init__(self, run: Driver, agenda: AnyAgenda, weight: float = 1.0) -> None:
        self._run = run
        self._agenda = agenda
        self._weight = weight

    @property
    def revision(self) -> int:
        return self._agenda.revision

    def take(self) -> Region | None:
        write = None if self._run._holds_back(self._run._stage) else self._agenda.take()
        if write is not None:
            self._run._depart()
        return write

    def done(self, write: Region) -> None:
        self._agenda.done(write)
        self._run._arrive()
        self._run._count(write, self._weight)

    def give_back(self, write: Region) -> None:
        self._agenda.give_back(write)
        self._run._arrive()

    def fail(self, write: Region, error: RegionUnreadable) -> None:
        self._run._arrive()
        self._run._fail(self._agenda, write, error)

    def is_aside(self, write: Region) -> bool:
        return not self._run._is_paused and self._agenda.is_aside(write)
