"""How fast a run goes: pixels per second over the last ten seconds of work."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

WINDOW_SECONDS = 10.0


class Throughput:
    """Counts working seconds (not those paused or waiting) and smooths the rate. Guarded by its owner's lock.

    All times are seconds of one clock that never runs backwards.
    """

    def __init__(self) -> None:
        self._worked = 0.0
        self._since: float | None = None
        self._added: deque[tuple[float, int]] = deque([(0.0, 0)])

    def start(self, now: float) -> None:
        """Work begins, or goes on."""
        if self._since is None:
            self._since = now

    def stop(self, now: float) -> None:
        """Work pauses."""
        self._worked = self.seconds(now)
        self._since = None

    def seconds(self, now: float) -> float:
        """Seconds of work so far."""
        return self._worked + (now - self._since if self._since is not None else 0.0)

    def add(self, now: float, pixels: int) -> None:
        """So many output pixels are done."""
        self._added.append((self.seconds(now), pixels))
        self._drop_old(now)

    def rate(self, now: float) -> float:
        """Output pixels per second; 0 until something is done."""
        self._drop_old(now)
        (begin, _), *later = self._added
        span = self.seconds(now) - begin
        return sum(pixels for _, pixels in later) / span if span > 0 else 0.0

    def _drop_old(self, now: float) -> None:
        """Keep one entry from before the window, which says when the next began, and at least one after it."""
        while len(self._added) > 2 and self._added[1][0] < self.seconds(now) - WINDOW_SECONDS:
            self._added.popleft()


class MonotonicClock:
    """Another clock, which stands still while that one is behind what it said before. Any thread."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest = clock()

    def __call__(self) -> float:
        self._latest = max(self._latest, self._clock())
        return self._latest
