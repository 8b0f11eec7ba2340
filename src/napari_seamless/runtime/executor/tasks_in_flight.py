"""The dask tasks of one run: submitted, waited for and taken back in."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from time import monotonic

from distributed import CancelledError, Client, Future, KilledWorker, wait

from napari_seamless.errors import WorkersLost
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor.batcher import Batcher
from napari_seamless.runtime.executor.installed_job import LocalJob, RemoteJob
from napari_seamless.runtime.executor.worker_plugin import TaskReport, make_tiles

COUNT_SECONDS = 5
WORKERS_SECONDS = 30


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
        self._room = _threads_of(client) + 1
        self._counted = monotonic()

    def run(self) -> None:
        """Keep the workers busy until there is nothing more to start."""
        while self._submit() or self._tasks:
            for future in self._wait():
                self._complete(future)
            self._count_workers()

    def release(self) -> None:
        """After a failure: end what is still in flight, and give it back."""
        if not self._tasks:
            return
        self._installed.halt()
        with self._client.as_current():
            wait(list(self._tasks))
        for future, writes in self._tasks.items():
            self._give_back(future.result().writes if future.status == "finished" else writes)
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
        """A cluster may grow and shrink while we run."""
        if monotonic() - self._counted > COUNT_SECONDS:
            self._room = max(1, sum(self._client.nthreads().values())) + 1
            self._counted = monotonic()

    def _take(self, most: int) -> Iterator[Region]:
        for _ in range(most):
            write = self._queue.take()
            if write is None:
                return
            yield write

    def _wait(self) -> Iterable[Future[TaskReport]]:
        """Wait until at least one task has ended, and tell the workers of a stop or a new order meanwhile."""
        while True:
            if self._stop():
                self._installed.halt()
            else:
                self._installed.set_revision(self._queue.revision)
            try:
                with self._client.as_current():
                    poll = self._installed.poll_seconds
                    return list(wait(list(self._tasks), timeout=poll, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                continue

    def _complete(self, future: Future[TaskReport]) -> None:
        """Commit what a task finished, give the rest back, raise what went wrong."""
        writes = self._tasks.pop(future)
        left = list(writes)
        try:
            report = future.result()
            left = list(report.writes)
            for write, result in report.done:
                self._job.receive(write, result)
                self._commit(write)
                left.remove(write)
                self._queue.done(write)
            for write, unreadable in report.failed:
                left.remove(write)
                self._queue.fail(write, unreadable)
        except (KilledWorker, CancelledError) as error:
            raise WorkersLost(
                f"a tile must be made by a worker that stays alive; the workers were lost, again and again, while they "
                f"held {writes[0]!r}; look at their logs and memory, and use a smaller budget"
            ) from error
        finally:
            self._give_back(left)
        if report.error is not None:
            raise report.error
        self._batcher.add(len(report.done), report.seconds)

    def _give_back(self, writes: Iterable[Region]) -> None:
        for write in writes:
            self._queue.give_back(write)


def _threads_of(client: Client) -> int:
    """Threads of all workers; waits for the first worker to come."""
    try:
        client.wait_for_workers(1, timeout=WORKERS_SECONDS)
    except TimeoutError as error:
        raise WorkersLost(
            f"a cluster must have a worker; none came within {WORKERS_SECONDS} s; start one, for example with: "
            "dask worker ADDRESS"
        ) from error
    return sum(client.nthreads().values())
