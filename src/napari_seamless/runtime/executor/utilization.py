"""Whether the device waits: the share of the time with tiles in flight in which it is at work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from napari_seamless.geometry import Region
from napari_seamless.interfaces import DeviceTime, Job, TileResult


class Utilization:
    """Sums up what engines say they spent. Guarded by its owner's lock.

    All times are seconds of one clock that never runs backwards. The time counts from when a first tile is taken to
    when none is in flight any more; that of a tile that is not back yet counts with the tile.
    """

    def __init__(self) -> None:
        self._flying = 0
        self._since = 0.0
        self._flown = 0.0
        self._heard = 0.0
        self._spent = 0.0
        self._engines: set[str] = set()
        self._before = (0.0, 0.0)

    def depart(self, now: float) -> None:
        """A tile is taken."""
        if not self._flying:
            self._since = now
        self._flying += 1

    def arrive(self, now: float) -> None:
        """A tile is done, or given back."""
        self._flying -= 1
        if not self._flying:
            self._flown += now - self._since

    def hear(self, spent: DeviceTime, now: float) -> None:
        """A tile came back, with what its engine spent."""
        self._engines.add(spent.engine)
        self._spent += spent.seconds
        self._heard = self._flown + (now - self._since if self._flying else 0.0)

    def begin_pass(self) -> None:
        """Other engines come, which have not been idle before."""
        self._before = self._totals()
        self._engines.clear()
        self._flown = self._heard = self._spent = 0.0

    @property
    def share(self) -> float | None:
        """At work, of the time there was; the mean of several engines, None where none has said anything."""
        spent, there_was = self._totals()
        return spent / there_was if there_was > 0 else None

    def _totals(self) -> tuple[float, float]:
        spent, there_was = self._before
        return spent + self._spent, there_was + self._heard * len(self._engines)


@dataclass(frozen=True)
class ObservedJob(Job):
    """A job that tells, in the driving thread, what comes home with each region; in other processes a plain job."""

    hear: Callable[[DeviceTime], None]

    def receive(self, write: Region, made: TileResult) -> None:
        if made.spent is not None:
            self.hear(made.spent)
        super().receive(write, made)

    def __reduce__(self) -> tuple[type[Job], tuple[Any, ...]]:
        return Job, (self.source, self.level, self.engine, self.sink)
