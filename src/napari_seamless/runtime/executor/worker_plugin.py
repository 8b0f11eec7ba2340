"""What lives on a dask worker for the length of a run: the job, with its engine, ready for tiles.

A task carries regions, a few integers. The job with its network travels once: handed over as it is to workers in
this process, pickled to workers elsewhere (to those that join later, too).
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, RLock
from time import monotonic, perf_counter

from distributed import Worker, WorkerPlugin, get_worker

from napari_seamless.errors import RegionUnreadable, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue, TileResult
from napari_seamless.runtime.executor._compat import pickled, unpickled
from napari_seamless.runtime.executor.versions import require_same, versions_here

LEASE_SECONDS = 120.0
"""A worker that has not heard of its client for so long lets go of the job."""


@dataclass(frozen=True)
class TaskReport:
    """What a task did in so many `seconds`: of the regions that it had in the end (`writes`) those that it finished,
    with what came of each, those whose pixels could not be read, and what went wrong after them."""

    writes: tuple[Region, ...]
    done: tuple[tuple[Region, TileResult], ...]
    seconds: float
    error: BaseException | None = None
    failed: tuple[tuple[Region, RegionUnreadable], ...] = ()


class JobPlugin(WorkerPlugin):
    """A job on workers of this process, shared by all of them; its stop flag is the run's own.

    A task that waited for its turn while the order was changed exchanges its tiles at the `queue` for what is
    wanted now, or, where the queue is in another process (None), makes nothing. One that is at work leaves a tile
    unfinished that is preempted. `revision` gives the queue's.
    """

    def __init__(self, job: Job, stop: StopFlag, queue: TileQueue | None, revision: Callable[[], int]) -> None:
        self._job = job
        self._stop = stop
        self._queue = queue
        self._revision = revision
        self._halted = Event()

    def halt(self) -> None:
        """Let tasks that are running come to an early end, and those that wait do nothing."""
        self._halted.set()

    def make(self, writes: tuple[Region, ...], revision: int) -> TaskReport:
        """Make the regions until one goes wrong, the run is stopped or the order changed. Called in a worker's thread.

        `revision` is the queue's when the task was submitted. What cannot be read is left out.
        """
        done, begin = list[tuple[Region, TileResult]](), perf_counter()
        failed: list[tuple[Region, RegionUnreadable]] = []
        latest = self._revision()
        if latest > revision and self._queue is not None and not self.is_stopped:
            writes, revision = _exchanged(self._queue, writes), latest
        try:
            for write in writes:
                if self.is_stopped or self._revision() > revision:
                    break
                stop = _TileStop(write, revision, lambda: self.is_stopped, self._queue, self._revision)
                try:
                    done.append((write, self._job.make(write, stop)))
                except RegionUnreadable as error:
                    failed.append((write, error))
        except BaseException as error:  # noqa: BLE001 - carried to the driving thread, which raises it
            was_stopped = isinstance(error, RunCancelled) and stop.was_set
            return TaskReport(
                writes, tuple(done), perf_counter() - begin, None if was_stopped else error, tuple(failed)
            )
        return TaskReport(writes, tuple(done), perf_counter() - begin, failed=tuple(failed))

    @property
    def is_stopped(self) -> bool:
        """Whether tasks are to make nothing more."""
        return self._halted.is_set() or self._stop()


class _TileStop:
    """The stop flag of one tile: the run is stopped, or the order changed and this tile is preempted."""

    def __init__(
        self, write: Region, revision: int, stop: StopFlag, queue: TileQueue | None, latest: Callable[[], int]
    ) -> None:
        self._write = write
        self._revision = revision
        self._stop = stop
        self._queue = queue
        self._latest = latest
        self.was_set = False

    def __call__(self) -> bool:
        self.was_set = self.was_set or self._stop() or self._is_preempted()
        return self.was_set

    def _is_preempted(self) -> bool:
        """Asked once for every change of the order, since it is looked at between any two operators."""
        if self._queue is None or (latest := self._latest()) == self._revision:
            return False
        self._revision = latest
        return self._queue.is_preempted(self._write)


class PickledJobPlugin(WorkerPlugin):
    """A job for workers in other processes; each unpickles its own at set-up. Its stop flag is set by `halt`.

    Whoever drives the run has a lease on the worker, which any word from there renews. When it ends, the client being
    dead or cut off, the tile in work is left unfinished, and the job, with what it holds of the device, is let go of;
    it is unpickled again when the client comes back.
    """

    job_plugin: JobPlugin | None = None
    """What makes tiles; None where the lease has ended."""

    def __init__(self, job: Job) -> None:
        self._pickled = pickled(job)
        self._versions = versions_here()
        self._revision = 0

    def setup(self, worker: Worker) -> None:
        """Called by dask on each worker when it gets the plugin."""
        self._lock, self._address, self._is_halted = RLock(), worker.address, False
        self._loop, self._is_there = worker.loop, True
        self._renew()
        self._look_later()

    def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - dask's signature
        """Called by dask when the plugin is taken away."""
        self._is_there = False

    def _look_later(self) -> None:
        if self._is_there:
            self.look()
            self._loop.call_later(LEASE_SECONDS / 4, self._look_later)

    def set_revision(self, revision: int) -> None:
        """Tasks that were submitted under an earlier revision, and have not begun, are to make nothing."""
        self._revision = revision
        self._renew()

    def halt(self) -> None:
        """As `JobPlugin.halt`, on this worker."""
        with self._lock:
            self._is_halted = True
            self._renew().halt()

    def make(self, writes: tuple[Region, ...], revision: int) -> TaskReport:
        """As `JobPlugin.make`, but an error is raised, since dask knows how to carry one between processes."""
        require_same(self._versions, versions_here(), self._address)
        report = self._renew().make(writes, revision)
        if report.error is not None:
            raise report.error
        return report

    def _renew(self) -> JobPlugin:
        with self._lock:
            self._heard = monotonic()
            if self.job_plugin is None:
                self.job_plugin = JobPlugin(unpickled(self._pickled), _never, None, lambda: self._revision)
                if self._is_halted:
                    self.job_plugin.halt()
            return self.job_plugin

    def look(self) -> None:
        """On the worker's event loop, a few times a lease."""
        with self._lock:
            if self.job_plugin is not None and monotonic() - self._heard > LEASE_SECONDS:
                self.job_plugin.halt()
                self.job_plugin = None


def make_tiles(name: str, writes: tuple[Region, ...], revision: int) -> TaskReport:
    """The dask task: have the job that lives here under `name` make these regions."""
    plugin = get_worker().plugins[name]
    if not isinstance(plugin, JobPlugin | PickledJobPlugin):
        raise TypeError(f"{name} must be a job of this package; got {type(plugin).__name__}")
    return plugin.make(writes, revision)


def update_plugin(name: str, revision: int | None, dask_worker: Worker) -> None:
    """Run by the client on each worker's event loop, beside its tasks: a new revision, or (None) the end."""
    plugin = dask_worker.plugins.get(name)
    if isinstance(plugin, PickledJobPlugin):  # a worker that has just joined may not have the job yet
        if revision is None:
            plugin.halt()
        else:
            plugin.set_revision(revision)


def _exchanged(queue: TileQueue, writes: tuple[Region, ...]) -> tuple[Region, ...]:
    """Put tiles back and take the one that is wanted most; perhaps there is none."""
    for write in writes:
        queue.give_back(write)
    wanted = queue.take()
    return () if wanted is None else (wanted,)


def _never() -> bool:
    return False
