"""Polygons compared with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.postprocess.polygons.boxes import Bools
from napari_seamless.postprocess.polygons.shapes import masks_of
from napari_seamless.postprocess.polygons.stars import Stars

AT_ONCE = 8192
"""Polygons whose pixels are in memory together, beside those of higher rank that have not lost."""


@dataclass(frozen=True, eq=False)
class Contest:
    """Polygons of a neighbourhood, in any order.

    Those that are `is_settled` have won before. Of the others, only those that are `active` can be settled now, and
    those that are `is_open` can only lose. `shown` are those that would win if nothing were unread.
    """

    stars: Stars
    is_settled: Bools
    is_open: Bools
    active: Bools
    shown: Bools

    def outcome(self, overlap: float) -> tuple[Bools, Bools, Bools]:
        """Which of the unsettled have won, which have lost, which are shown now.

        Polygons are taken by falling rank, some at a time: those that have lost are not compared with later ones, so
        that a network which sees objects everywhere fills no memory with their pixels.
        """
        from napari_seamless.postprocess.polygons import kernels

        state, shown = np.where(self.is_settled, kernels.WON, kernels.UNDECIDED), self.shown.copy()
        order, before = self.stars.by_rank, np.zeros(0, np.int64)
        for start in range(0, len(order), AT_ONCE):
            now = order[start : start + AT_ONCE]
            rows = np.concatenate([before, now])
            stars, ranked, seen = self.stars.take(rows), state[rows], shown[rows]
            active = np.concatenate([np.zeros(len(before), bool), self.active[now]])
            kernels.decide(masks_of(stars), stars.center, overlap, self.is_open[rows], active, ranked, seen)
            state[rows], shown[rows] = ranked, seen
            before = rows[ranked != kernels.LOST]
        return (state == kernels.WON) & ~self.is_settled, state == kernels.LOST, shown
