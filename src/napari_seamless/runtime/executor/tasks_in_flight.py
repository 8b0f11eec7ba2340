"""The dask tasks of one run: submitted, waited for and taken back in."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import count
from time import monotonic

from distributed import CancelledError, Client, Future, KilledWorker, wait

from napari_seamless.errors import WorkersLost
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor.batcher import Batcher
from napari_seamless.runtime.executor.cluster_calls import answer_of
from napari_seamless.runtime.executor.installed_job import LocalJob, RemoteJob
from napari_seamless.runtime.executor.worker_plugin import TaskReport, make_tiles

COUNT_SECONDS = 5
WORKERS_SECONDS = 30
NO_WORKERS_SECONDS = 120
REPORT_SECONDS = 5
STOP_SECONDS = 10
"""How long a worker in another process may take to leave its tile unfinished; then it is not waited for."""


class TasksInFlight:
    """As many tasks as the workers have threads, and one more. Driving thread only.

    `installed` is the job on the workers, `job` the same one here, which receives what comes back.
    """

    def __init__(
        self,
        client: Client,
        job: Job,
        installed: LocalJob | RemoteJob,
        queue: TileQueue,
        commit: Callable[[Region], None],
        stop: StopFlag,
        resources: Mapping[str, float],
    ) -> None:
        self._client = client
        self._job = job
        self._installed = installed
        self._queue = queue
        self._commit = commit
        self._stop = stop
        self._resources = resources
        self._batcher = Batcher()
        self._numbers = count()
        self._tasks: dict[Future[TaskReport], list[Region]] = {}
        self._room = sum(client.nthreads().values()) + 1
        self._counted = self._last_worker = monotonic()
        self._stopped: float | None = None

    def run(self) -> None:
        """Keep the workers busy until there is nothing more to start."""
        while self._submit() or self._tasks:
            for future in self._wait():
                self._complete(future)
            if self._is_left:
                self._leave()
                return

    def release(self) -> None:
        """After a failure: end what is still in flight, and give it back."""
        if not self._tasks:
            return
        self._installed.halt()
        seconds = STOP_SECONDS if self._installed.may_be_left else None
        with self._client.as_current(), suppress(TimeoutError, CancelledError):
            wait(list(self._tasks), timeout=seconds)
        for future, writes in self._tasks.items():
            report = self._report_of(future) if future.status == "finished" else None
            self._give_back(writes if report is None else report.writes)
        self._tasks.clear()

    @property
    def _is_left(self) -> bool:
        """Whether the run was stopped, and workers elsewhere hang."""
        since = self._stopped
        return self._installed.may_be_left and since is not None and monotonic() - since > STOP_SECONDS

    def _leave(self) -> None:
        """Wait no longer for what is in flight."""
        answer_of(self._client, partial(self._client.cancel, list(self._tasks)))
        for writes in self._tasks.values():
            self._give_back(writes)
        self._tasks.clear()

    def _submit(self) -> bool:
        """Submit until the room is used up; True if anything was."""
        before = len(self._tasks)
        while len(self._tasks) < self._room and not self._stop():
            revision = self._queue.revision
            self._batcher.set_revision(revision)
            writes = list(self._take(self._batcher.size))
            if not writes:
                break
            number = next(self._numbers)
            future = self._client.submit(
                make_tiles,
                self._installed.name,
                tuple(writes),
                revision,
                key=f"{self._installed.name}-{number}",
                priority=-number,
                resources=self._resources or None,
                pure=False,
            )
            self._tasks[future] = writes
        return len(self._tasks) > before

    def _count_workers(self) -> None:
        """A cluster may grow and shrink while we run. Raises WorkersLost where none is left for long."""
        if monotonic() - self._counted <= COUNT_SECONDS:
            return
        threads = answer_of(self._client, self._client.nthreads)
        self._counted = monotonic()
        if threads is None:
            return
        self._room = max(1, sum(threads.values())) + 1
        if threads:
            self._last_worker = self._counted
        elif self._counted - self._last_worker > NO_WORKERS_SECONDS:
            raise WorkersLost(
                f"a cluster must have a worker; the last one went away, and none came within {NO_WORKERS_SECONDS} s; "
                "start some and run the same command: what is finished is kept"
            )

    def _take(self, most: int) -> Iterator[Region]:
        for _ in range(most):
            write = self._queue.take()
            if write is None:
                return
            yield write

    def _wait(self) -> Iterable[Future[TaskReport]]:
        """Wait until at least one task has ended, and tell the workers of a stop or a new order meanwhile; none where
        the run was stopped and workers do not answer."""
        while not self._is_left:
            self._count_workers()
            if self._stop():
                self._stopped = self._stopped or monotonic()
                self._installed.halt()
            else:
                self._installed.set_revision(self._queue.revision)
            try:
                with self._client.as_current():
                    poll = self._installed.poll_seconds
                    return list(wait(list(self._tasks), timeout=poll, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                continue
        return ()

    def _complete(self, future: Future[TaskReport]) -> None:
        """Commit what a task finished, give the rest back, raise what went wrong."""
        writes = self._tasks.pop(future)
        left = list(writes)
        try:
            report = self._report_of(future)
            if report is None:
                self._tasks[future], left = writes, []
                return
            left = list(report.writes)
            for write, result in report.done:
                self._job.receive(write, result)
                self._commit(write)
                left.remove(write)
                self._queue.done(write)
            for write, unreadable in report.failed:
                left.remove(write)
                self._queue.fail(write, unreadable)
        except KilledWorker as error:
            raise WorkersLost(
                f"a tile must be made by a worker that stays alive; the workers were lost, again and again, while they "
                f"held {writes[0]!r}; look at their logs and memory, and use a smaller budget"
            ) from error
        finally:
            self._give_back(left)
        if report.error is not None:
            raise report.error
        self._batcher.add(len(report.done), report.seconds)

    def _report_of(self, future: Future[TaskReport]) -> TaskReport | None:
        """What a task that has ended tells; None where its worker died before it was brought here: dask makes it
        again."""
        try:
            return future.result(timeout=REPORT_SECONDS if self._installed.may_be_left else None)
        except TimeoutError:
            if future.status == "error":
                raise
            return None

    def _give_back(self, writes: Iterable[Region]) -> None:
        for write in writes:
            self._queue.give_back(write)


def wait_for_workers(client: Client) -> None:
    """Wait for the first worker to come. Raises WorkersLost."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        raise WorkersLost(
            f"a cluster must have a worker; none came within {WORKERS_SECONDS} s; start one, for example with: "
            "dask worker ADDRESS"
        ) from error
