"""A tile of which only what is wanted can be made, since the rest of it would read pixels that are not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import PixelsNotFinite
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.runtime.engine.oom_retry import halves


class WantedPixels(Protocol):
    """Which output pixels somebody asked for. Any thread; picklable."""

    def mask(self, region: Region) -> NDArray[np.bool_]: ...


@runtime_checkable
class HoldsEarlier(Protocol):
    """A sink that gives what lies at a region by now, (c, *region.shape), 0 where nothing was written. Any thread or
    process, but where the region is being written."""

    def written(self, region: Region) -> Pixels: ...


def make_wanted(wanted: WantedPixels, sink: HoldsEarlier, write: Region, compute: Callable[[Region], Pixels]) -> Pixels:
    """The pixels of `write` that are wanted, and some near them, (c, *write.shape); elsewhere what `sink` holds.

    `compute` raises PixelsNotFinite for a region that reads such pixels; so does this where a wanted pixel does.
    """
    made = sink.written(write)
    for region, pixels in _pieces(wanted, write, compute):
        made[(slice(None), *region.slices(write.start))] = pixels
    return made


def _pieces(wanted: WantedPixels, part: Region, compute: Callable[[Region], Pixels]) -> Iterator[tuple[Region, Pixels]]:
    """Boxes that hold all that is wanted of a part; halved for as long as they read what is not finite."""
    mask = wanted.mask(part)
    if not mask.any():
        return
    box = _bounds(mask, part)
    try:
        pixels = compute(box)
    except PixelsNotFinite:
        if mask.all() or box.size == 1:
            raise
    else:
        yield box, pixels
        return
    for half in halves(box):
        yield from _pieces(wanted, half, compute)


def _bounds(mask: NDArray[np.bool_], part: Region) -> Region:
    """The smallest box that holds all that is True."""
    spans = []
    for axis, span in enumerate(part.intervals):
        hit = np.flatnonzero(mask.any(axis=tuple(k for k in range(mask.ndim) if k != axis)))
        spans.append(Interval(span.lo + int(hit[0]), span.lo + int(hit[-1]) + 1))
    return Region(tuple(spans))
