"""Names of dask.distributed that are no documented API: each test says which public feature is missing."""

# mypy: allow-untyped-calls

from __future__ import annotations

import asyncio

import pytest
from distributed import Client, WorkerPlugin

from napari_seamless.runtime.executor._compat import (
    add_plugin_here,
    address_of,
    is_asynchronous,
    pickled,
    remove_plugin_here,
    unpickled,
    workers_here,
)
from napari_seamless.runtime.executor.local_workers import LocalWorkers


class Unpicklable(WorkerPlugin):
    """As a job whose parts live in memory."""

    def __reduce__(self) -> str:
        raise TypeError("this lives in memory")


@pytest.fixture
def client():  # type: ignore[no-untyped-def]
    workers = LocalWorkers()
    yield workers.client
    workers.close()


def test_the_workers_of_this_process_can_be_asked_of_a_client(client: Client) -> None:
    """Missing in public: whether the workers of `Client.cluster` are threads of this process, and which they are."""
    assert len(workers_here(client)) == len(client.nthreads()) == 1


def test_a_plugin_reaches_a_worker_of_this_process_as_it_is(client: Client) -> None:
    """Missing in public: a `Client.register_plugin` that does not pickle for workers of this process.

    The day this one takes what cannot be pickled, `add_plugin_here` can go.
    """
    (worker,), plugin = workers_here(client), Unpicklable()
    add_plugin_here(client, worker, plugin, "one")
    assert worker.plugins["one"] is plugin
    remove_plugin_here(client, worker, "one")
    assert "one" not in worker.plugins
    with pytest.raises(TypeError, match="lives in memory"):
        client.register_plugin(Unpicklable(), name="other")


def test_where_the_scheduler_is_can_be_asked_of_a_client(client: Client) -> None:
    """Missing in public: the address of a Client's scheduler, also when the scheduler is gone."""
    assert address_of(client).startswith("inproc://")


def test_a_client_that_is_to_be_awaited_is_told_from_one_that_is_not(client: Client) -> None:
    """Missing in public: `Client.asynchronous` says of the present thread whether calls give coroutines."""

    async def made() -> bool:
        async with Client(address_of(client), asynchronous=True, set_as_default=False) as other:
            return is_asynchronous(other)

    assert not is_asynchronous(client)
    assert asyncio.run(made())


def test_dasks_own_pickle_takes_what_plain_pickle_refuses() -> None:
    """Missing in public: the serialisation that `Client.submit` uses for functions and their arguments, as a call."""
    assert unpickled(pickled(lambda x: x + 1))(1) == 2
