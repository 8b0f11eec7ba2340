"""Those who want to hear of every piece of a result as it is finished."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.interfaces import FreshPixels

LONGEST = 256
"""Pieces that wait for somebody; of more the oldest go."""


class Watchers:
    """A deque for each of them. Any thread may add and remove, one tells."""

    def __init__(self) -> None:
        self._deques: list[deque[FreshPixels]] = []

    def add(self) -> deque[FreshPixels]:
        watcher: deque[FreshPixels] = deque(maxlen=LONGEST)
        self._deques.append(watcher)
        return watcher

    def remove(self, watcher: deque[FreshPixels]) -> None:
        self._deques = [kept for kept in self._deques if kept is not watcher]

    def tell(self, changed: Iterable[tuple[int, Region, NDArray[Any]]]) -> None:
        """Of (level, region, pixels), which may not be written to from here on."""
        for level, where, pixels in changed:
            pixels.flags.writeable = False
            for watcher in self._deques:
                watcher.append(FreshPixels(level, where, pixels))
