"""Polygons compared with each other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_seamless.postprocess.polygons.boxes import Bools
from napari_seamless.postprocess.polygons.shapes import masks_of
from napari_seamless.postprocess.polygons.stars import Stars


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
        """Which of the unsettled have won, which have lost, which are shown now."""
        from napari_seamless.postprocess.polygons import kernels

        order = self.stars.by_rank
        stars = self.stars.take(order)
        state = np.where(self.is_settled, kernels.WON, kernels.UNDECIDED)[order]
        is_open, active, shown = self.is_open[order], self.active[order], self.shown[order]
        kernels.decide(masks_of(stars), stars.center, overlap, is_open, active, state, shown)
        won, lost, now = (np.zeros(len(order), bool) for _ in range(3))
        won[order], lost[order], now[order] = state == kernels.WON, state == kernels.LOST, shown
        return won & ~self.is_settled, lost, now
