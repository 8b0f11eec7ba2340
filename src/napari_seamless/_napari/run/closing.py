"""How what computes is let go of when a dock closes."""

from __future__ import annotations

from time import monotonic, sleep
from typing import TYPE_CHECKING

from napari_seamless._napari.background import BackgroundJob
from napari_seamless._napari.run.state import ENDED, Started

if TYPE_CHECKING:
    from napari_seamless.runs.run import Run
    from napari_seamless.runtime.executor.local_workers import LocalWorkers

LAST_TILE_SECONDS = 10


def release(
    run: Run | None, starting: BackgroundJob[Started] | None, workers: BackgroundJob[LocalWorkers] | None
) -> None:
    """Closes the workers when the cancelled runs have let go of them."""
    begun = None if starting is None else starting.outcome()
    runs = [run, begun.run if isinstance(begun, Started) else None]
    give_up = monotonic() + LAST_TILE_SECONDS
    while any(r is not None and r.progress().state not in ENDED for r in runs) and monotonic() < give_up:
        sleep(0.01)
    ready = None if workers is None else workers.outcome()
    if ready is not None and not isinstance(ready, BaseException):
        ready.close()
