"""Squares between the centres of four pixels, in each of which flow is interpolated from its corners."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import Domain


@dataclass(frozen=True, eq=False)
class FlowSquares:
    """n squares in which something moves, in raster order.

    `at` (n, 2) is the pixel at the low corner; the square reaches from its centre to those of its neighbours. `corner`
    (n, 8; float32) are the steps of a particle, (y, x), at the low corner, one along x, one along y, and along both.
    """

    at: Ints
    corner: NDArray[np.float32]

    @classmethod
    def of(cls, step: NDArray[np.float32], tile: Region, domain: Domain) -> FlowSquares:
        """The squares of a tile. `step` (2, y, x) is 0 where there is no cell, and has a pixel more on every side."""
        owned = _owned(tile, domain)
        start = tuple(at - 1 for at in tile.start)
        y, x = ((slice(s.lo - at, s.hi - at)) for s, at in zip(owned.intervals, start, strict=True))
        down, right = slice(y.start + 1, y.stop + 1), slice(x.start + 1, x.stop + 1)
        is_moving = (step != 0).any(axis=0)
        found = is_moving[y, x] | is_moving[y, right] | is_moving[down, x] | is_moving[down, right]
        at = np.argwhere(found)
        rows, columns = at[:, 0] + y.start, at[:, 1] + x.start
        corners = [(rows, columns), (rows, columns + 1), (rows + 1, columns), (rows + 1, columns + 1)]
        corner = np.stack([plane[place] for place in corners for plane in step], 1)
        return cls(at + owned.start, corner)

    @classmethod
    def joined(cls, some: Sequence[FlowSquares]) -> FlowSquares:
        """All of them; no longer in raster order."""
        at = np.concatenate([np.zeros((0, 2), np.int64), *(one.at for one in some)])
        return cls(at, np.concatenate([np.zeros((0, 8), np.float32), *(one.corner for one in some)]))

    def __len__(self) -> int:
        return len(self.at)

    def take(self, rows: NDArray[np.generic]) -> FlowSquares:
        """These rows (numbers or bool)."""
        return FlowSquares(self.at[rows], self.corner[rows])


def _owned(tile: Region, domain: Domain) -> Region:
    """Whose low corner lies in the tile; at the low edge of a region also those just outside of it, which end in it."""
    return Region(
        tuple(
            Interval(span.lo - (span.lo == whole.lo and whole.lo > 0), span.hi)
            for span, whole in zip(tile.intervals, domain.region.intervals, strict=True)
        )
    )
