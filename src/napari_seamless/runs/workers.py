"""Workers that are there before a run is, so that it starts at once."""

from __future__ import annotations

from napari_seamless.runs.start import ACCELERATED_THREADS
from napari_seamless.runtime.engine import resolve_device
from napari_seamless.runtime.executor.local_workers import LocalWorkers

FOLLOWING_THREADS = 1
"""With a single thread on a processor the next tile can still be exchanged for another one when the view moves."""


def start_workers(device: str = "auto") -> LocalWorkers:
    """Workers in this process for runs on a device: give their `client` to `start` as its scheduler, and its output a
    path. They stay until they are closed, for any number of runs. Takes 0.1 s; any thread."""
    return LocalWorkers(FOLLOWING_THREADS if resolve_device(device).type == "cpu" else ACCELERATED_THREADS)
