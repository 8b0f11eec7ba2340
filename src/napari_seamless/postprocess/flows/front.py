"""What of some particles is decided when part of the image is unread: in a tile alone, and where tiles have joined.

The rule on a whole image: where particles end, ends are counted. A place with more than `ENOUGH_ENDS`, and with as many
as any other in the 5 x 5 around it, is a peak, and grows `GROWTH` times by one pixel, over places with more than
`FEW_ENDS`; a place of several peaks belongs to the one with the most ends, of equals to the first in raster order. An
object are the pixels of which the particles end in what a peak has grown over.

Here a place is final when no particle of an unread pixel can come to it. Particles only move where there is flow, so
squares that such a particle can come to are found step by step, from what is unread on. A peak and all that it grows
over are final when all places within `SURE` pixels are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.flows.particles import LOST, Particles
from napari_seamless.postprocess.flows.places import PlaceIndex, UnreadGrid
from napari_seamless.postprocess.flows.settings import FlowSettings
from napari_seamless.postprocess.flows.squares import FlowSquares
from napari_seamless.postprocess.object_table import Ints

ENOUGH_ENDS, FEW_ENDS, GROWTH = 10, 2, 5
CONTESTED = 2 * GROWTH
"""So far away is a peak that can take a place from another, and what is on its way to it."""
SURE = CONTESTED + GROWTH


@dataclass(frozen=True, eq=False)
class PartDecided:
    """`particles` as far as they have moved. `peak` (n,) is the place of the peak that each belongs to, as an index of
    the flattened image, -1 for none; `done` says for which that is final. `left_open` are squares, by number, that are
    still open."""

    particles: Particles
    peak: Ints
    done: NDArray[np.bool_]
    left_open: NDArray[np.bool_]


def decided(
    settings: FlowSettings,
    shape: tuple[int, int],
    particles: Particles,
    squares: FlowSquares,
    unread: UnreadGrid,
    judged: Region,
) -> PartDecided:
    """Move particles, and decide on those that end inside `judged`. All that can come there must be at hand.

    `squares` are all that are open, in raster order.
    """
    from napari_seamless.postprocess.flows import kernels

    index, corner = PlaceIndex.of(*squares.at.T), squares.corner
    copies = {name: getattr(particles, name).copy() for name in ("place", "part", "left")}
    moved = replace(particles, **copies)
    kernels.move(moved.start, moved.place, moved.part, moved.left, corner, index, unread, shape, settings.reach)
    low, high = np.array([judged.start, judged.stop], np.int64)
    is_open = np.zeros(len(squares), bool)
    kernels.flood(squares.at, corner, index, unread, low, high, settings.leap, settings.reach, is_open)
    open_index = PlaceIndex.of(*squares.at[is_open].T)
    ended = np.flatnonzero(moved.left == 0)
    keys, which, count = np.unique(keys_of(moved.place[ended], shape), return_inverse=True, return_counts=True)
    at = np.stack(np.divmod(keys, shape[1]), 1)
    peaks, owner = _peaks(at, count)
    peak_is_final, place_is_final = np.zeros(len(peaks), bool), np.zeros(len(at), bool)
    for places, distance, final in ((at[peaks], SURE, peak_is_final), (at, CONTESTED, place_is_final)):
        kernels.are_final(places, open_index, unread, low, high, settings.leap, distance, final)
    owned = owner >= 0
    final = np.where(owned, np.append(peak_is_final, False)[owner], place_is_final)
    peak, done = np.full(len(moved), -1, np.int64), moved.left == LOST
    peak[ended] = np.where(owned, np.append(keys[peaks], -1)[owner], -1)[which]
    done[ended] = final[which]
    return PartDecided(moved, peak, done, is_open)


def _peaks(at: Ints, count: Ints) -> tuple[Ints, Ints]:
    """Peaks among places in raster order (by number), and which of them owns each place, -1 for none."""
    from napari_seamless.postprocess.flows import kernels

    index = PlaceIndex.of(*at.T)
    found, owner = np.zeros(len(at), bool), np.full(len(at), -1, np.int64)
    kernels.is_peak(at, count, index, ENOUGH_ENDS, found)
    peaks = np.flatnonzero(found)
    peaks = peaks[np.lexsort((-peaks, count[peaks]))]
    kernels.grow(peaks, at, count, index, FEW_ENDS, GROWTH, owner)
    return peaks, owner


def keys_of(at: Ints, shape: tuple[int, int]) -> Ints:
    """Pixels (n, 2) as indices of the flattened image."""
    return np.asarray(at[:, 0] * shape[1] + at[:, 1])
