"""The names of dask.distributed that are no documented API, each behind a function that says what is missing.

Each has a test that fails when the name goes, and says which public feature would take its place.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

from distributed import Client, Worker, WorkerPlugin
from distributed.protocol import pickle


def workers_here(client: Client) -> list[Worker]:
    """The workers of the client's cluster, if all of them live in this process; else none.

    There is no public way to ask a Client whether its workers are threads of this process: `Client.cluster` is None
    or a Cluster, of which only a LocalCluster has `workers`, and only those without processes are `Worker`s.
    """
    workers = list(getattr(client.cluster, "workers", {}).values())
    return workers if all(isinstance(worker, Worker) for worker in workers) else []


def add_plugin_here(client: Client, worker: Worker, plugin: WorkerPlugin, name: str) -> None:
    """Give a worker of this process a plugin as it is.

    `Client.register_plugin` pickles a plugin even for workers of this process, and so cannot hand over a job whose
    parts live in memory; `Worker.plugin_add` is what it calls at the other end.
    """
    client.sync(worker.plugin_add, plugin=plugin, name=name)


def remove_plugin_here(client: Client, worker: Worker, name: str) -> None:
    """Take a plugin away that `add_plugin_here` gave."""
    client.sync(worker.plugin_remove, name=name)


def address_of(client: Client) -> str:
    """Where a client's scheduler is, or was, for people to read; a client has no public name for it."""
    return str(getattr(client.scheduler, "address", "the scheduler"))


def is_asynchronous(client: Client) -> bool:
    """Whether a client was made to be awaited: its calls give coroutines, wherever they are made. `Client.asynchronous`
    is about the thread that asks."""
    return bool(getattr(client, "_asynchronous", False))


def pickled(value: Any) -> bytes:
    """A value as dask sends it: what plain pickle refuses, such as a class of a notebook, goes by its code.

    Done before anything is sent, so that what cannot be pickled is said at once; each worker unpickles its own.
    """
    return bytes(pickle.dumps(value))


def unpickled(data: bytes) -> Any:
    """What `pickled` was given."""
    return pickle.loads(data)
