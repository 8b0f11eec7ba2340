"""Which executor a name stands for: one table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Executor
from napari_seamless.runtime.executor.serial import SerialExecutor
from napari_seamless.runtime.forked import lacks_threads


def _dask(threads: int) -> Executor:
    if lacks_threads():
        return SerialExecutor()
    from napari_seamless.runtime.executor.dask_executor import DaskExecutor

    return DaskExecutor(threads=threads)


def _serial(threads: int) -> Executor:  # noqa: ARG001 - it works in the caller's
    return SerialExecutor()


EXECUTORS: dict[str, Callable[[int], Executor]] = {"dask": _dask, "serial": _serial}
"""Executors in this process, by the name that Python, shell and window know them by; each is made for so many threads.

A test runs the conformance checks of `testing` over all of them.
"""


def make_executor(scheduler: Any, threads: int) -> Executor:
    """What `scheduler` asks for: a name of EXECUTORS, with so many `threads`, a dask address, a scheduler
    file (.json), a dask Cluster or Client, or an `interfaces.Executor`, which is taken as it is.

    Raises BadRequest for a name that stands for nothing.
    """
    if isinstance(scheduler, str) and scheduler in EXECUTORS:
        return EXECUTORS[scheduler](threads)
    if isinstance(scheduler, Executor):
        return scheduler
    if isinstance(scheduler, str) and "://" not in scheduler and not scheduler.endswith(".json"):
        names = ", ".join(EXECUTORS)
        raise BadRequest(
            f"a scheduler is {names}, an address such as tcp://host:8786 or a scheduler file (.json); got {scheduler!r}"
        )
    from napari_seamless.runtime.executor.dask_executor import DaskExecutor

    return DaskExecutor(scheduler)


def is_cluster(scheduler: Any) -> bool:
    """Whether a `scheduler`, as `make_executor` takes it, is a dask cluster: its workers need an output on disk."""
    return scheduler not in EXECUTORS if isinstance(scheduler, str) else getattr(scheduler, "is_remote", True)
