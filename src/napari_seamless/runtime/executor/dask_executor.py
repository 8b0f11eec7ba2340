"""Our order, dask's execution: in this process by default, on any dask cluster by its address or client.

Priorities of tasks in flight cannot be changed in dask, so only a few are: one a worker thread, and one more that is
ready when the first of them ends. Everything else stays in the agenda, where a retarget finds it.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pickle import PicklingError
from time import monotonic
from uuid import uuid4

from distributed import CancelledError, Client, Future, KilledWorker, Worker, wait

from napari_seamless.errors import BadRequest, WorkersLost
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor.batcher import Batcher
from napari_seamless.runtime.executor.local_workers import LocalWorkers
from napari_seamless.runtime.executor.worker_plugin import JobPlugin, PickledJobPlugin, TaskReport, make_tiles, tell

Landed = Callable[[Region], None]

LOOK_SECONDS = 0.1
COUNT_SECONDS = 5
WORKERS_SECONDS = 30


class DaskExecutor:
    """Implements `interfaces.Executor` with dask.distributed.

    Without a `cluster`, a cluster of one worker with `threads` threads is started in this process by the first run,
    and stopped by `close`. Several threads overlap reading and writing; the engine still computes one tile at a
    time. A `cluster` is a Client, which stays the caller's, or an address such as tcp://host:8786; source, engine
    and sink are then pickled once to each worker, and must be reachable from there. `resources` are dask's, such as
    {"GPU": 1}, one unit of which a task occupies.

    Raises WorkersLost when a cluster has no workers, cannot be reached, or loses its workers over one tile again and
    again (dask gives it to others, three times unless the cluster is set up otherwise), and BadRequest when the job
    cannot be pickled.
    """

    def __init__(
        self,
        cluster: Client | str | None = None,
        *,
        threads: int = 1,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        self._given = cluster
        self._threads = threads
        self._resources = dict(resources or {})
        self._client: Client | None = cluster if isinstance(cluster, Client) else None
        self._workers: LocalWorkers | None = None

    def run(self, job: Job, agenda: TileQueue, landed: Landed, stop: StopFlag) -> None:
        """Work through the agenda. Blocks; one run at a time."""
        client = self._connect()
        with _installed(client, job, stop, agenda) as post:
            flight = _Flight(client, job, post, agenda, landed, stop, self._resources)
            try:
                flight.go()
            finally:
                flight.abandon()

    @property
    def is_far(self) -> bool:
        """Whether the workers are in other processes, perhaps on other machines."""
        if isinstance(self._given, Client):
            return not _workers_here(self._given)
        return self._given is not None

    def close(self) -> None:
        """Stop what this scheduler started itself. No run may be going on."""
        if self._workers is not None:
            self._workers.close()
        elif self._client is not None and not isinstance(self._given, Client):
            self._client.close()
        self._client = self._workers = None

    def _connect(self) -> Client:
        if self._client is None:
            if isinstance(self._given, str):
                self._client = _dial(self._given)
            else:
                self._workers = LocalWorkers(self._threads)
                self._client = self._workers.client
        return self._client


class _Post:
    """The way to the job on workers of this process: they look at the run's own flags, so little needs telling."""

    look: float | None = None

    def __init__(self, name: str, resident: JobPlugin) -> None:
        self.name = name
        self._resident = resident

    def halt(self) -> None:
        """End the tasks in flight early."""
        self._resident.halt()

    def heed(self, revision: int) -> None:
        """The job sees the agenda's revision by itself."""


class _FarPost:
    """The way to the job on workers elsewhere. `look` is how often, in seconds, to look for something to tell them."""

    look: float | None = LOOK_SECONDS

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client
        self._told: int | None = 0

    def halt(self) -> None:
        """End the tasks in flight early."""
        self._tell(None)

    def heed(self, revision: int) -> None:
        """Let tasks that were submitted under an earlier revision, and have not begun, make nothing."""
        self._tell(revision)

    def _tell(self, revision: int | None) -> None:
        if self._told is not None and revision != self._told:
            self._told = revision
            self._client.run(tell, self.name, revision, on_error="ignore")


class _Flight:
    """The tiles in flight of one run. Driving thread only."""

    def __init__(
        self,
        client: Client,
        job: Job,
        post: _Post | _FarPost,
        agenda: TileQueue,
        landed: Landed,
        stop: StopFlag,
        resources: Mapping[str, float],
    ) -> None:
        self._client = client
        self._job = job
        self._post = post
        self._agenda = agenda
        self._landed = landed
        self._stop = stop
        self._resources = resources
        self._grouping = Batcher()
        self._numbers = count()
        self._flying: dict[Future[TaskReport], list[Region]] = {}
        self._room = _threads_of(client) + 1
        self._counted = monotonic()

    def go(self) -> None:
        """Keep the workers busy until there is nothing more to start."""
        while self._fill() or self._flying:
            for future in self._ended():
                self._settle(future)
            self._count_workers()

    def abandon(self) -> None:
        """After a failure: end what still flies, and give it back."""
        if not self._flying:
            return
        self._post.halt()
        with self._client.as_current():
            wait(list(self._flying))
        for future, writes in self._flying.items():
            self._give_back(future.result().held if future.status == "finished" else writes)
        self._flying.clear()

    def _fill(self) -> bool:
        """Submit until the room is used up; True if anything was."""
        before = len(self._flying)
        while len(self._flying) < self._room and not self._stop():
            revision = self._agenda.revision
            self._grouping.heed(revision)
            writes = list(self._take(self._grouping.size))
            if not writes:
                break
            number = next(self._numbers)
            future = self._client.submit(
                make_tiles,
                self._post.name,
                tuple(writes),
                revision,
                key=f"{self._post.name}-{number}",
                priority=-number,
                resources=self._resources or None,
                pure=False,
            )
            self._flying[future] = writes
        return len(self._flying) > before

    def _count_workers(self) -> None:
        """A cluster may grow and shrink while we run."""
        if monotonic() - self._counted > COUNT_SECONDS:
            self._room = max(1, sum(self._client.nthreads().values())) + 1
            self._counted = monotonic()

    def _take(self, most: int) -> Iterator[Region]:
        for _ in range(most):
            write = self._agenda.take()
            if write is None:
                return
            yield write

    def _ended(self) -> Iterable[Future[TaskReport]]:
        """Wait until at least one task has ended, and tell the workers of a stop or a new order meanwhile."""
        while True:
            if self._stop():
                self._post.halt()
            else:
                self._post.heed(self._agenda.revision)
            try:
                with self._client.as_current():
                    return list(wait(list(self._flying), timeout=self._post.look, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                continue

    def _settle(self, future: Future[TaskReport]) -> None:
        """Land what a task finished, give the rest back, raise what went wrong."""
        writes = self._flying.pop(future)
        left = list(writes)
        try:
            report = future.result()
            left = list(report.held)
            for write, made in report.done:
                self._job.receive(write, made)
                self._landed(write)
                left.remove(write)
                self._agenda.done(write)
            for write, unreadable in report.failed:
                left.remove(write)
                self._agenda.fail(write, unreadable)
        except (KilledWorker, CancelledError) as error:
            raise WorkersLost(
                f"a tile must be made by a worker that stays alive; the workers were lost, again and again, while they "
                f"held {writes[0]!r}; look at their logs and memory, and use a smaller budget"
            ) from error
        finally:
            self._give_back(left)
        if report.error is not None:
            raise report.error
        self._grouping.learn(len(report.done), report.seconds)

    def _give_back(self, writes: Iterable[Region]) -> None:
        for write in writes:
            self._agenda.give_back(write)


@contextmanager
def _installed(client: Client, job: Job, stop: StopFlag, agenda: TileQueue) -> Iterator[_Post | _FarPost]:
    """Put the job on every worker while the context lasts, and give the way to it."""
    name = f"napari-seamless-{uuid4().hex}"
    here = _workers_here(client)
    if here:
        resident = JobPlugin(job, stop, agenda, lambda: agenda.revision)
        for worker in here:
            client.sync(worker.plugin_add, plugin=resident, name=name)
        try:
            yield _Post(name, resident)
        finally:
            for worker in here:
                client.sync(worker.plugin_remove, name=name)
        return
    client.register_plugin(_carried(job), name)
    try:
        yield _FarPost(name, client)
    finally:
        client.unregister_worker_plugin(name)


def _carried(job: Job) -> PickledJobPlugin:
    try:
        return PickledJobPlugin(job)
    except (PicklingError, TypeError, AttributeError) as error:
        raise BadRequest(
            f"a run on a cluster sends image, network and output to its workers, so all three must be picklable; "
            f"got: {error}; give the image and the output as paths, or run with scheduler='dask' "
            "(--scheduler dask) in this process"
        ) from error


def _dial(address: str) -> Client:
    try:
        return Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkersLost(
            f"a cluster must answer at its address; {address} did not ({error}); check the address and that its "
            "scheduler runs"
        ) from error


def _workers_here(client: Client) -> list[Worker]:
    """The cluster's workers, if all of them live in this process."""
    workers = list(getattr(client.cluster, "workers", {}).values())
    return workers if all(isinstance(worker, Worker) for worker in workers) else []


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
