"""Whether the device waits: the share of the time with tiles in flight in which it is at work."""

from __future__ import annotations

from napari_seamless.interfaces import DeviceTime


class Utilization:
    """Sums up what engines say of their devices. Guarded by its owner's lock.

    All times are seconds of one clock that never runs backwards. The time counts from when a first tile is taken to
    when none is in flight any more; that of a tile that is not back yet counts with the tile.
    """

    def __init__(self) -> None:
        self._in_flight = 0
        self._since = 0.0
        self._elapsed = 0.0
        self._counted = 0.0
        self._worked = 0.0
        self._engines: set[str] = set()
        self._before = (0.0, 0.0)

    def tile_started(self, now: float) -> None:
        """A tile is taken."""
        if not self._in_flight:
            self._since = now
        self._in_flight += 1

    def tile_ended(self, now: float) -> None:
        """A tile is done, or given back."""
        self._in_flight -= 1
        if not self._in_flight:
            self._elapsed += now - self._since

    def add(self, time: DeviceTime, now: float) -> None:
        """A tile came back, with what its engine says."""
        self._engines.add(time.engine)
        self._worked += time.seconds
        self._counted = self._elapsed + (now - self._since if self._in_flight else 0.0)

    def begin_pass(self) -> None:
        """Other engines come, which have not been idle before."""
        self._before = self._totals()
        self._engines.clear()
        self._elapsed = self._counted = self._worked = 0.0

    @property
    def share(self) -> float | None:
        """At work, of the time there was; the mean of several engines, None where none has said anything."""
        worked, there_was = self._totals()
        return worked / there_was if there_was > 0 else None

    def _totals(self) -> tuple[float, float]:
        worked, there_was = self._before
        return worked + self._worked, there_was + self._counted * len(self._engines)
