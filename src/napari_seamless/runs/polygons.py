"""Which pixels lie inside outlines.

A pixel counts if its centre lies inside, by the even-odd rule over an outline's rings; what several outlines cover
counts once. A centre on a left or upper edge is inside, on a right or lower edge outside, so that of outlines that
share an edge exactly one has each pixel. Edges are followed in coordinates of the whole image: a mask does not depend
on the piece that it is made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region

Ring = NDArray[np.float64]


@dataclass(frozen=True)
class Polygons:
    """Outlines, each a tuple of rings (its outer one and its holes) of corners (n, 2), y before x, in pixels of the
    labels, where pixel (0, 0) has its centre at (0, 0). In a volume they hold for every plane."""

    outlines: tuple[tuple[Ring, ...], ...]

    @classmethod
    def of(cls, outlines: Sequence[Sequence[ArrayLike]]) -> Polygons:
        """Raises BadRequest for rings with fewer than three corners and corners that are not two finite numbers."""
        made = tuple(tuple(np.asarray(ring, np.float64) for ring in rings) for rings in outlines)
        for ring in (ring for rings in made for ring in rings):
            if ring.ndim != 2 or ring.shape[1] != 2 or len(ring) < 3 or not np.isfinite(ring).all():
                raise BadRequest(
                    f"an outline has at least three corners of two finite numbers, y and x; got shape {ring.shape}"
                )
        if not any(made):
            raise BadRequest("outlines must enclose something; got none")
        return cls(made)

    def bounds(self, shape: Sequence[int]) -> Region:
        """The smallest region, inside an image of this shape, that holds all pixels inside; it may be empty."""
        corners = np.concatenate([ring for rings in self.outlines for ring in rings])
        bounds = []
        for low, high, size in zip(corners.min(0), corners.max(0), shape[-2:], strict=True):
            start = min(max(ceil(low), 0), size)
            bounds.append((start, min(max(floor(high) + 1, start), size)))
        return Region.of(*((0, n) for n in shape[:-2]), *bounds)

    def mask(self, region: Region) -> NDArray[np.bool_]:
        """(y, x) bool: which pixels of a region's planes lie inside."""
        plane = Region(region.intervals[-2:])
        inside = np.zeros(plane.shape, bool)
        for rings in self.outlines:
            inside |= _inside(rings, plane)
        return inside

    def holds(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,) bool: which points (n, 2), y before x, lie inside, by the same rule as centres of pixels."""
        inside = np.zeros(len(points), bool)
        for rings in self.outlines:
            inside |= _encloses(rings, points)
        return inside


def _encloses(rings: tuple[Ring, ...], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    odd = np.zeros(len(points), bool)
    y, x = points[:, 0], points[:, 1]
    for ring in rings:
        for (y0, x0), (y1, x1) in zip(ring, np.roll(ring, -1, 0), strict=True):
            if y0 == y1:
                continue
            (top, left), (bottom, right) = ((y0, x0), (y1, x1)) if y0 < y1 else ((y1, x1), (y0, x0))
            odd ^= (y >= top) & (y < bottom) & (left + (y - top) * ((right - left) / (bottom - top)) <= x)
    return odd


def _inside(rings: tuple[Ring, ...], plane: Region) -> NDArray[np.bool_]:
    """A pixel is inside where an odd number of edges crosses its row at or left of its centre."""
    rows, columns = plane.shape
    crossed = np.zeros((rows, columns + 1), np.uint8)
    for ring in rings:
        after = np.roll(ring, -1, 0)
        lows, highs = np.minimum(ring[:, 0], after[:, 0]), np.maximum(ring[:, 0], after[:, 0])
        near = (highs > plane.start[0]) & (lows <= plane.stop[0] - 1) & (lows < highs)
        for (y0, x0), (y1, x1) in zip(ring[near], after[near], strict=True):
            (top, left), (bottom, right) = ((y0, x0), (y1, x1)) if y0 < y1 else ((y1, x1), (y0, x0))
            first, last = max(ceil(top), plane.start[0]), min(ceil(bottom), plane.stop[0])
            if first >= last:
                continue
            y = np.arange(first, last)
            x = np.ceil(left + (y - top) * ((right - left) / (bottom - top)))
            column = np.clip(x - plane.start[1], 0, columns).astype(np.int64)
            crossed[y - plane.start[0], column] ^= 1
    return np.asarray(np.bitwise_xor.accumulate(crossed[:, :-1], axis=1), bool)
