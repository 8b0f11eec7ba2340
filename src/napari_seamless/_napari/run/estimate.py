"""How long a run may take, from the time of one small tile. GUI thread; the tile is computed in the background."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, is_open
from napari_seamless._napari.widgets.wording import duration

if TYPE_CHECKING:
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.tile_timing import TileTiming

TimedTile: TypeAlias = "tuple[Prepared, int, str]"
"""A network on an image, the edge of a tile, and the device."""
REST = 0.7
"""Seconds of quiet before a tile is timed, so that whoever presses Run at once does not wait for it."""
KEPT = 8


class Estimator:
    """Times each network on each image once for a tile size, whenever nothing else is going on."""

    def __init__(self, backend: Backend, jobs: BackgroundJobs) -> None:
        self._backend, self._jobs = backend, jobs
        self._known: list[tuple[TimedTile, TileTiming]] = []
        self._subject: TimedTile | None = None
        self._since = 0.0
        self._job: BackgroundJob[TileTiming] | None = None
        self._failed: TimedTile | None = None

    def timing(self, prepared: Prepared | None, tile: int, device: str, is_idle: bool) -> TileTiming | None:
        """The time of a tile, once it is known; begins to take it when all is quiet, and stops when it is not."""
        subject = None if prepared is None or tile <= 0 else (prepared, tile, device)
        if subject is None or not is_idle or not _same(subject, self._subject):
            if self._job is not None:
                self._job.cancel()
            self._subject, self._since = subject, monotonic()
        if subject is None:
            return None
        found = self._find(subject)
        if found is None and is_idle and not is_open(self._job) and not _same(subject, self._failed):
            self._begin(subject)
        return found

    def _find(self, subject: TimedTile) -> TileTiming | None:
        return next((timing for known, timing in self._known if _same(subject, known)), None)

    def _begin(self, subject: TimedTile) -> None:
        if monotonic() - self._since < REST:
            return
        prepared, tile, device = subject

        def keep(timing: TileTiming) -> None:
            self._known = [*self._known, (subject, timing)][-KEPT:]

        def give_up(_error: BaseException) -> None:
            """What cannot be computed has no time; the run will say why."""
            self._failed = subject

        self._job = self._jobs.begin(
            lambda stop: self._backend.time_tile(prepared, tile, device=device, cancelled=stop),
            keep,
            give_up,
            lane="timing",
        )


def estimate(timing: TileTiming, pixels: int, what: str) -> str:
    """A sentence on how long so many output pixels may take."""
    seconds = timing.seconds_per_pixel * pixels
    takes = "less than a second" if seconds < 1 else f"about {duration(seconds)}"
    source = f"one tile of {timing.edge} px timed on {timing.device}"
    if timing.is_least:
        return f"{what}: at least {takes}, without its passes of measuring (from {source})."
    return f"{what}: {takes} (from {source})."


def area(polygon: NDArray[np.float64]) -> float:
    """Of corners (y, x), by the shoelace formula.

    >>> area(np.array([(0, 0), (0, 4), (3, 4), (3, 0)], float))
    12.0
    """
    y, x = polygon[:, 0], polygon[:, 1]
    return abs(float(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1)))) / 2


def _same(one: TimedTile, other: TimedTile | None) -> bool:
    return other is not None and one[0] is other[0] and one[1:] == other[1:]
