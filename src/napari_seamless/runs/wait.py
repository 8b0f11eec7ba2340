"""Waiting for a run in the calling thread."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress

from napari_seamless.errors import RunCancelled, SeamlessError
from napari_seamless.interfaces import Progress
from napari_seamless.runs.result import Result
from napari_seamless.runs.run import Run

SECONDS_TO_END = 20.0


def wait_for(handle: Run, on_progress: Callable[[Progress], None] | None = None) -> Result:
    """Wait for a run, reporting on the way. An interrupt cancels it first, and waits for its end, though not for ever:
    what is finished is on disk already."""
    try:
        while handle.progress().state not in ("finished", "cancelled", "failed"):
            handle.wait(0.5)
            if on_progress is not None:
                on_progress(handle.progress())
        handle.wait()
    except KeyboardInterrupt:
        handle.cancel()
        with suppress(SeamlessError):
            handle.wait(SECONDS_TO_END)
        raise
    if handle.progress().state == "cancelled":
        raise RunCancelled("the run was cancelled; finished chunks are kept, run it again to continue")
    failed = handle.progress().failed
    if failed:
        warnings.warn(
            f"the image could not be read everywhere; {failed} pixels of the result were left out, and are 0 "
            "(result.report.failed says where); repair the file and run it again with same_image=True to fill them",
            stacklevel=3,
        )
    return handle.result()
