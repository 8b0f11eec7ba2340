"""A tile for which the device has no memory is computed in halves.

The budget is a prediction, and other programs use the device too. Halves of halves give the same pixels, so that a run
that meets a full device goes on, in smaller pieces from then on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
import torch

from napari_seamless.errors import DeviceFull
from napari_seamless.geometry import Interval, Region, Tile
from napari_seamless.interfaces import DeviceTime, Engine, Pixels, StopFlag, TimedEngine
from napari_seamless.program.ops.barrier import Barrier
from napari_seamless.runtime.engine.moments import merged

SMALLEST = 64
E = TypeVar("E", bound=Engine)


class OutOfMemoryRetry(Generic[E]):
    """Another engine that gets by with less memory; implements `interfaces.Engine`. Picklable when the other is.

    `barriers` are those of a pass that measures, whose results are merged instead of put side by side. `largest` is how
    many pixels are computed at once since the device was full; None as long as it never was.
    """

    def __init__(self, inner: E, barriers: Sequence[Barrier] = ()) -> None:
        self.inner = inner
        self.largest: int | None = None
        self._barriers = tuple(barriers)

    def tile(self, write: Region) -> Tile:
        return self.inner.tile(write)

    def take_device_time(self) -> DeviceTime | None:
        """The other engine's, where it is `interfaces.TimedEngine`."""
        return self.inner.take_device_time() if isinstance(self.inner, TimedEngine) else None

    def compute(self, tile: Tile, read: Callable[[Region], Pixels], stop: StopFlag) -> Any:
        """As the other engine. Raises DeviceFull where not even the smallest piece fits."""
        if self.largest is None or tile.write.size <= self.largest:
            try:
                return self.inner.compute(tile, read, stop)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0]
            # here, and not in the handler, whose traceback holds the tensors of the attempt
            self._shrink(tile.write, reason)
        first, second = (self.compute(self.inner.tile(part), read, stop) for part in halves(tile.write))
        if isinstance(first, tuple):
            return merged(self._barriers, first, second)
        return np.concatenate((first, second), axis=1 + _long_axis(tile.write))

    def _shrink(self, write: Region, reason: str) -> None:
        if max(write.shape[-2:]) <= SMALLEST:
            raise DeviceFull(
                f"the device must have memory for a tile of {SMALLEST} pixels; it has not ({reason}); close other "
                "programs that use it, or run on the CPU (finished tiles are kept)"
            )
        self.largest = min(self.largest or write.size, max(part.size for part in halves(write)))
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


def halves(region: Region) -> tuple[Region, Region]:
    """A region cut across its longer side in the plane, where the cut is a multiple of 64 if it can be."""
    axis = _long_axis(region)
    span = region.intervals[axis]
    middle = span.lo + max(1, span.size // 2)
    aligned = -(-middle // SMALLEST) * SMALLEST
    cut = aligned if span.lo < aligned < span.hi else middle
    parts = (Interval(span.lo, cut), Interval(cut, span.hi))
    first, second = (Region((*region.intervals[:axis], part, *region.intervals[axis + 1 :])) for part in parts)
    return first, second


def _long_axis(region: Region) -> int:
    y, x = region.shape[-2:]
    return region.ndim - (2 if y >= x else 1)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or the host, had no memory left."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
