"""How many tiles one dask task carries, so that dask's own 2 to 3 ms do not count."""

from __future__ import annotations

ENOUGH_SECONDS = 0.05
MOST_TILES = 8


class Batcher:
    """Learns from measured tiles; begins with one, doubles at most, and begins again after a retarget.

    A batch never holds more work than about 50 ms, so that what is asked for next does not wait for it.
    """

    def __init__(self) -> None:
        self.size = 1
        self._revision = 0
        self._seconds: float | None = None

    def set_revision(self, revision: int) -> None:
        """Go back to single tiles if the order was changed since."""
        if revision != self._revision:
            self._revision = revision
            self.size = 1

    def add(self, tiles: int, seconds: float) -> None:
        """Learn that a task made `tiles` tiles in `seconds`."""
        if not tiles:
            return
        each = seconds / tiles
        self._seconds = each if self._seconds is None else 0.5 * self._seconds + 0.5 * each
        fitting = int(ENOUGH_SECONDS / max(self._seconds, 1e-6))
        self.size = max(1, min(fitting, 2 * self.size, MOST_TILES))
