"""The job on the workers of a cluster while a run lasts, and what its client tells it there."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pickle import PicklingError
from time import monotonic
from uuid import uuid4

from distributed import Client

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Job, StopFlag, TileQueue
from napari_seamless.runtime.executor._compat import add_plugin_here, remove_plugin_here, workers_here
from napari_seamless.runtime.executor.cluster_calls import answer_of
from napari_seamless.runtime.executor.worker_plugin import LEASE_SECONDS, JobPlugin, PickledJobPlugin, update_plugin

POLL_SECONDS = 0.1


class LocalJob:
    """The job on workers of this process: they look at the run's own flags, so little needs telling."""

    poll_seconds: float | None = None
    may_be_left = False

    def __init__(self, name: str, plugin: JobPlugin) -> None:
        self.name = name
        self._plugin = plugin

    def halt(self) -> None:
        """End the tasks in flight early."""
        self._plugin.halt()

    def set_revision(self, revision: int) -> None:
        """The job sees the queue's revision by itself."""


class RemoteJob:
    """The job on workers elsewhere. `poll_seconds` is how often to look for something to tell them; at each look the
    client's lease on them is renewed where it is time. What they make `may_be_left` to itself: a result takes nothing
    of a run that is over."""

    poll_seconds: float | None = POLL_SECONDS
    may_be_left = True

    def __init__(self, name: str, client: Client) -> None:
        self.name = name
        self._client = client
        self._sent: int | None = 0
        self._told = monotonic()

    def halt(self) -> None:
        """End the tasks in flight early."""
        self._send(None)

    def set_revision(self, revision: int) -> None:
        """Let tasks that were submitted under an earlier revision, and have not begun, make nothing."""
        self._send(revision)

    def _send(self, revision: int | None) -> None:
        is_due = monotonic() - self._told > LEASE_SECONDS / 4
        if self._sent is not None and (revision != self._sent or is_due):
            self._sent, self._told = revision, monotonic()
            answer_of(self._client, partial(self._client.run, update_plugin, self.name, revision, on_error="ignore"))


@contextmanager
def installed(client: Client, job: Job, stop: StopFlag, queue: TileQueue) -> Iterator[LocalJob | RemoteJob]:
    """Put the job on every worker while the context lasts. Raises BadRequest where it cannot be pickled to one."""
    name = f"napari-seamless-{uuid4().hex}"
    here = workers_here(client)
    if here:
        plugin = JobPlugin(job, stop, queue, lambda: queue.revision)
        for worker in here:
            add_plugin_here(client, worker, plugin, name)
        try:
            yield LocalJob(name, plugin)
        finally:
            for worker in here:
                remove_plugin_here(client, worker, name)
        return
    client.register_plugin(_pickled(job), name)
    try:
        yield RemoteJob(name, client)
    finally:
        answer_of(client, partial(client.unregister_worker_plugin, name))


def _pickled(job: Job) -> PickledJobPlugin:
    try:
        return PickledJobPlugin(job)
    except (PicklingError, TypeError, AttributeError) as error:
        raise BadRequest(
            f"a run on a cluster sends image, network and output to its workers, so all three must be picklable; "
            f"got: {error}; give the image and the output as paths, or run with scheduler='dask' "
            "(--scheduler dask) in this process"
        ) from error
