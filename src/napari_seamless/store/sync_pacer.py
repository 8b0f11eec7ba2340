"""How often a result is put on the disk while it grows."""

from __future__ import annotations

import time
from collections.abc import Callable

FEWEST_SECONDS = 1.0
TIMES_AS_LONG = 40
"""Between two syncs there is so many times the time that the last one took: they cost a fortieth at most."""


class SyncPacer:
    """Tells when the next sync is due. Driving thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due = clock() + FEWEST_SECONDS

    @property
    def is_due(self) -> bool:
        return self._clock() >= self._due

    def run(self, sync: Callable[[], object]) -> None:
        """Sync, and see how long it takes."""
        began = self._clock()
        sync()
        ended = self._clock()
        self._due = ended + max(FEWEST_SECONDS, TIMES_AS_LONG * (ended - began))
