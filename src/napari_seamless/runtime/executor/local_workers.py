"""A dask cluster of one worker in this process."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, ExitStack
from threading import Lock

from distributed import Client, LocalCluster
from distributed.utils import silence_logging_cmgr

LOOPBACK = "127.0.0.1:0"  # dask always opens a port for its own pages: any free one, and not to the network


class _Silence:
    """Dask's own log says only errors while there are workers here. Of several that overlap the last one ends it, which
    dask's way of silencing, one cluster at a time, does not know. Any thread."""

    def __init__(self) -> None:
        self._lock, self._count, self._stack = Lock(), 0, ExitStack()

    def begin(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                silenced: AbstractContextManager[object] = silence_logging_cmgr(logging.ERROR)
                self._stack.enter_context(silenced)

    def end(self) -> None:
        with self._lock:
            self._count -= 1
            if not self._count:
                self._stack.close()


_SILENCE = _Silence()
_STARTING = Lock()
"""dask imports parts of itself while a worker starts, which two that start at once find half imported."""


class LocalWorkers:
    """Started when made (0.1 s), with so many `threads`; any number of runs may use `client` until it is closed."""

    def __init__(self, threads: int = 1) -> None:
        _SILENCE.begin()
        self._is_silent = True
        try:
            with _STARTING:
                self._start(threads)
        except BaseException:
            self._speak()
            raise

    def _start(self, threads: int) -> None:
        self._cluster = LocalCluster(
            n_workers=1,
            processes=False,
            threads_per_worker=threads,
            dashboard_address=LOOPBACK,
            worker_dashboard_address=LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,  # the limit would be this whole process's, and pause the worker
            silence_logs=False,
        )
        self.client = Client(self._cluster, set_as_default=False)

    def close(self) -> None:
        """Stop them. No run may be going on. May be called twice; any thread."""
        log = logging.getLogger("distributed.worker")
        level = log.level
        # while the interpreter goes down a worker complains that it closes in another way, with a traceback
        log.setLevel(logging.CRITICAL)
        try:
            self.client.close()
            self._cluster.close()
        finally:
            log.setLevel(level)
            self._speak()

    def _speak(self) -> None:
        if self._is_silent:
            self._is_silent = False
            _SILENCE.end()
