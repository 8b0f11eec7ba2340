"""Our order, dask's execution: in this process by default, on any dask cluster by its address or client.

Priorities of tasks in flight cannot be changed in dask, so only a few are: one a worker thread, and one more that is
ready when the first of them ends. Everything else stays in the queue, where a retarget finds it.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable, Mapping

from distributed import Client

from napari_seamless.errors import WorkersLost
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor._compat import workers_here
from napari_seamless.runtime.executor.installed_job import installed
from napari_seamless.runtime.executor.local_workers import LocalWorkers
from napari_seamless.runtime.executor.tasks_in_flight import TasksInFlight


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

    def run(self, job: Job, queue: TileQueue, commit: Callable[[Region], None], stop: StopFlag) -> None:
        """Work through the queue. Blocks; one run at a time."""
        client = self._connect()
        with installed(client, job, stop, queue) as there:
            tasks = TasksInFlight(client, job, there, queue, commit, stop, self._resources)
            try:
                tasks.run()
            finally:
                tasks.release()

    @property
    def is_remote(self) -> bool:
        """Whether the workers are in other processes, perhaps on other machines."""
        if isinstance(self._given, Client):
            return not workers_here(self._given)
        return self._given is not None

    def close(self) -> None:
        """Stop what this executor started itself. No run may be going on."""
        if self._workers is not None:
            self._workers.close()
        elif self._client is not None and not isinstance(self._given, Client):
            self._client.close()
        self._client = self._workers = None

    def _connect(self) -> Client:
        if self._client is None:
            if isinstance(self._given, str):
                self._client = _connected(self._given)
            else:
                self._workers = LocalWorkers(self._threads)
                self._client = self._workers.client
        return self._client


def _connected(address: str) -> Client:
    try:
        return Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise WorkersLost(
            f"a cluster must answer at its address; {address} did not ({error}); check the address and that its "
            "scheduler runs"
        ) from error
