"""Our order, dask's execution: in this process by default, on any dask cluster by its address or client.

Priorities of tasks in flight cannot be changed in dask, so only a few are: one a worker thread, and one more that is
ready when the first of them ends. Everything else stays in the queue, where a retarget finds it.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

from distributed import Client
from distributed.deploy.cluster import Cluster
from distributed.utils import silence_logging_cmgr

from napari_seamless.errors import BadRequest, WorkersLost
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor._compat import is_asynchronous, workers_here
from napari_seamless.runtime.executor.cluster_calls import lost_scheduler_told
from napari_seamless.runtime.executor.installed_job import installed
from napari_seamless.runtime.executor.local_workers import LocalWorkers
from napari_seamless.runtime.executor.tasks_in_flight import TasksInFlight, wait_for_workers
from napari_seamless.runtime.executor.versions import require_same_everywhere

SCHEDULER_FILE = ".json"


class DaskExecutor:
    """Implements `interfaces.Executor` with dask.distributed.

    Without a `cluster`, a cluster of one worker with `threads` threads is started in this process by the first run,
    and stopped by `close`. Several threads overlap reading and writing; the engine still computes one tile at a
    time. A `cluster` is a Client, which stays the caller's, a dask Cluster, an address such as tcp://host:8786, or a
    scheduler file (.json); source, engine and sink are then pickled once to each worker, and must be reachable from
    there. `resources` are dask's, such as {"GPU": 1}, one unit of which a task occupies.

    Raises WorkersLost when a cluster has no workers, cannot be reached, loses its scheduler, or loses its workers over
    one tile again and again (dask gives it to others, three times unless the cluster is set up otherwise), and
    BadRequest when the job cannot be pickled, or workers have other versions of what computes.
    """

    def __init__(
        self,
        cluster: Client | Cluster | str | Path | None = None,
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
        with lost_scheduler_told(client):
            wait_for_workers(client)
            if self.is_remote:
                require_same_everywhere(client)
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
            _close(self._client)
        self._client = self._workers = None

    def _connect(self) -> Client:
        if self._client is None:
            if self._given is not None and not isinstance(self._given, Client):
                self._client = _connected(self._given)
            else:
                self._workers = LocalWorkers(self._threads)
                self._client = self._workers.client
        if is_asynchronous(self._client):
            raise BadRequest(
                "a run waits for its tiles in a thread of its own, so its Client must not be one to be awaited; got "
                "one with asynchronous=True; make another with Client(address), in a notebook, too"
            )
        return self._client


def _close(client: Client) -> None:
    """Of one whose scheduler is gone, dask would log with a traceback that it no longer looks for it."""
    with nullcontext() if client.status == "running" else silence_logging_cmgr(logging.CRITICAL):
        client.close()


def _connected(cluster: Cluster | str | Path) -> Client:
    """A client of an address, a scheduler file or a cluster. Raises BadRequest and WorkersLost."""
    if not isinstance(cluster, Cluster | str | Path):
        raise BadRequest(
            "a scheduler is a name, an address, a scheduler file, a Client or a Cluster; got a "
            f"{type(cluster).__name__}"
        )
    named = getattr(cluster, "scheduler_address", str(cluster))
    try:
        if isinstance(cluster, Cluster) or not named.endswith(SCHEDULER_FILE):
            return Client(cluster, set_as_default=False)
        if not Path(named).exists():
            raise FileNotFoundError("there is no such file")
        return Client(scheduler_file=named, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise WorkersLost(
            f"a cluster must answer at its address; {named} did not ({error}); check the address and that its "
            "scheduler runs"
        ) from error
