"""A dask cluster of one worker in this process."""

# mypy: allow-untyped-calls

from __future__ import annotations

import logging

from distributed import Client, LocalCluster

LOOPBACK = "127.0.0.1:0"  # dask always opens a port for its own pages: any free one, and not to the network


class LocalWorkers:
    """Started when made (0.1 s), with so many `threads`; any number of runs may use `client` until it is closed."""

    def __init__(self, threads: int = 1) -> None:
        self._cluster = LocalCluster(
            n_workers=1,
            processes=False,
            threads_per_worker=threads,
            dashboard_address=LOOPBACK,
            worker_dashboard_address=LOOPBACK,
            scheduler_kwargs={"dashboard": False},
            memory_limit=0,  # the limit would be this whole process's, and pause the worker
            silence_logs=logging.ERROR,
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
