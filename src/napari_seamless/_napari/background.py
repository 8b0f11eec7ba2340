"""Slow work beside the GUI: begun from the GUI thread, done in another one, its outcome told in the first. No Qt."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event
from typing import Any, Generic, TypeVar

from napari_seamless.errors import RunCancelled
from napari_seamless.interfaces import StopFlag

T = TypeVar("T")
Report = Callable[[BaseException], object]
THREADS = 8


class BackgroundJob(Generic[T]):
    """One piece of slow work, as the GUI thread sees it."""

    def __init__(self, done: Callable[[T], object], failed: Report, survives: bool) -> None:
        self._done, self._failed, self.survives = done, failed, survives
        self._stop = Event()
        self._is_open = True
        self.future: Future[T] = Future()

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come, or to be told."""
        return self._is_open

    @property
    def is_stopping(self) -> bool:
        """Whether it was asked to end soon."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Asks the work to end soon. What comes of it is told as ever."""
        self._stop.set()

    def cancel(self) -> None:
        """Asks the work to end soon; what comes of it is nobody's business any more."""
        self._stop.set()
        self._is_open = False
        self.future.cancel()

    def should_stop(self) -> bool:
        """What the work asks now and then. Any thread."""
        return self._stop.is_set()

    def result(self) -> T:
        """Waits for the work and gives what it gives, or raises. For other work only, never in the GUI thread."""
        return self.future.result()

    def outcome(self) -> T | BaseException | None:
        """Waits likewise; what the work gave, or what it failed of. None where it was cancelled before it began."""
        if self.future.cancelled():
            return None
        error = self.future.exception()
        return self.future.result() if error is None else error

    def tell(self) -> None:
        """Calls back with the outcome, once, unless it was cancelled. GUI thread; only when the work is over."""
        if not self._is_open:
            return
        self._is_open = False
        error = self.future.exception()
        if error is None:
            self._done(self.future.result())
        else:
            self._failed(error)


class BackgroundJobs:
    """The slow work of one dock, which owns it and closes it.

    `deliver` is called by the dock's timer and tells what is over. An error that a job does not deal with goes to
    `report`, unless it only says that the job was cancelled. Jobs of one `lane` are done one after the other.
    """

    def __init__(self, report: Report, threads: int = THREADS) -> None:
        self._report = report
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="seamless-gui")
        self._jobs: list[BackgroundJob[Any]] = []
        self._lanes: dict[str, Future[Any]] = {}
        self._is_open = True

    def begin(
        self,
        work: Callable[[StopFlag], T],
        done: Callable[[T], object] = lambda _result: None,
        failed: Report | None = None,
        *,
        lane: str = "",
        survives: bool = False,
    ) -> BackgroundJob[T]:
        """Starts `work`, which gets a function that says whether it should stop.

        `done` is called with its result, `failed` with its error (RunCancelled, too), both in the GUI thread. A job
        that `survives` is done even if the dock is closed before.
        """
        job = BackgroundJob(done, self._report_unless_cancelled if failed is None else failed, survives)
        before = self._lanes.get(lane) if lane else None

        def run() -> T:
            if before is not None:
                wait([before])
            return work(job.should_stop)

        job.future = self._pool.submit(run)
        if lane:
            self._lanes[lane] = job.future
        self._jobs.append(job)
        return job

    def deliver(self) -> None:
        """Tells the outcomes that have come, in the order in which the jobs were begun. GUI thread."""
        for job in [job for job in self._jobs if job.future.done()]:
            if job in self._jobs:  # a callback may let events pass, and with them another call of this
                self._jobs.remove(job)
                job.tell()

    def close(self, last: Callable[[], None] | None = None) -> None:
        """Stops what goes on and drops what waits, but for what survives and `last`, which is done at the end.

        Does not block: the threads end with the work that they are at. May be called twice.
        """
        if not self._is_open:
            return
        self._is_open = False
        for job in self._jobs:
            if not job.survives:
                job.cancel()
        if last is not None:
            with suppress(RuntimeError):  # the interpreter is ending, and takes its threads with it
                self._pool.submit(last)
        self._pool.shutdown(wait=False)

    def _report_unless_cancelled(self, error: BaseException) -> None:
        if not isinstance(error, RunCancelled):
            self._report(error)


def is_open(job: BackgroundJob[Any] | None) -> bool:
    """Whether there is a job whose outcome is still to come."""
    return job is not None and job.is_open


def ignore(_error: BaseException) -> None:
    """For work whose failure will be told by whoever needs it done."""
