"""Where pixels are, in an index by rows, and which are unread: what the compiled loops look things up in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints


class PlaceIndex(NamedTuple):
    """Different pixels in raster order: those of row `first` + i are `x[begins[i] : begins[i + 1]]`."""

    first: int
    begins: Ints
    x: Ints

    @classmethod
    def of(cls, y: Ints, x: Ints) -> PlaceIndex:
        """Of pixels that come in raster order."""
        if not len(y):
            return cls(0, np.zeros(1, np.int64), np.zeros(0, np.int64))
        first, last = int(y[0]), int(y[-1])
        return cls(first, np.searchsorted(y, np.arange(first, last + 2)), np.ascontiguousarray(x, np.int64))


class UnreadGrid(NamedTuple):
    """A region cut into blocks along the sides of its tiles. `before[i, j]` counts the unread blocks before the edges
    `y[i]` and `x[j]`."""

    y: Ints
    x: Ints
    before: Ints

    @classmethod
    def of(cls, region: Region, tiles: Ints) -> UnreadGrid:
        """What is unread of a region when these tiles (n, 2, 2; inside of it) are read."""
        y, x = (
            np.unique(np.concatenate([[span.lo, span.hi], tiles[:, :, axis].ravel()]))
            for axis, span in enumerate(region.intervals)
        )
        unread: NDArray[np.int64] = np.ones((len(y) - 1, len(x) - 1), np.int64)
        rows, columns = np.searchsorted(y, tiles[:, :, 0]), np.searchsorted(x, tiles[:, :, 1])
        for (top, bottom), (left, right) in zip(rows.tolist(), columns.tolist(), strict=True):
            unread[top:bottom, left:right] = 0
        return cls(y, x, np.pad(unread.cumsum(0).cumsum(1), ((1, 0), (1, 0))))

    @classmethod
    def all_read(cls, region: Region) -> UnreadGrid:
        return cls.of(region, np.array([[region.start, region.stop]], np.int64))
