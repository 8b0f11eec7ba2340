"""Perimeter, axes and solidity of objects, from whole numbers: as skimage.measure.regionprops defines them."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.measurement.objects import kernels
from napari_seamless.postprocess.object_table import Ints

DIAGONAL = sqrt(2.0)


class ShapeSums:
    """What is summed over the pixels of some objects, whose boxes are known. One thread."""

    def __init__(self, ids: Ints, low: Ints, high: Ints) -> None:
        count = len(ids)
        self._ids, self._low, self._high = (np.ascontiguousarray(a) for a in (ids, low, high))
        self._sums, self._steps = np.zeros((count, 6), np.int64), np.zeros((count, 4), np.int64)
        heights = high[:, 0] - low[:, 0]
        self._first_span = np.concatenate([[0], np.cumsum(heights)]).astype(np.int64)
        self._spans = np.full((int(heights.sum()), 2), -1, np.int64)

    def add(self, labels: Ints, region: Region, rows: tuple[int, int]) -> None:
        """Add rows [rows[0], rows[1]) of the image, of labels of this region, which holds 2 pixels more on every side
        where the image has them."""
        top, left = region.start
        kernels.add_shapes(
            *(labels, top, left, rows, self._ids, self._low, self._high),
            *(self._sums, self._steps, self._first_span, self._spans),
        )

    @property
    def columns(self) -> Mapping[str, NDArray[Any]]:
        """`perimeter`, `solidity`, `major_axis`, `minor_axis` (pixels) and `orientation`: the angle from the y axis to
        the major axis, towards x, -pi/2 to pi/2."""
        inside = np.zeros(len(self._ids), np.int64)
        kernels.hull_pixels(self._first_span, self._spans, inside)
        major, minor, orientation = _axes(self._sums)
        sides, diagonals, halves, _ = self._steps.T
        return {
            "perimeter": sides + diagonals * DIAGONAL + halves * ((1 + DIAGONAL) / 2),
            "solidity": self._sums[:, 0] / inside,
            "major_axis": major,
            "minor_axis": minor,
            "orientation": orientation,
        }


def _axes(sums: Ints) -> tuple[NDArray[np.float64], ...]:
    """Of the ellipse with the same second moments. Differences are taken of Python's whole numbers, which have no end,
    so nothing is lost of large objects."""
    n, y, x, yy, xx, xy = sums.T.astype(object)
    down, along, both = n * yy - y * y, n * xx - x * x, n * xy - x * y
    determinant = (down * along - both * both).astype(np.float64)
    square = (n * n).astype(np.float64)
    a, b, c = (moment.astype(np.float64) / square for moment in (along, both, down))
    larger = (a + c) / 2 + np.hypot((a - c) / 2, b)
    smaller = np.divide(determinant / square / square, larger, out=np.zeros(len(sums)), where=larger > 0)
    angle = np.where(a == c, np.where(b > 0, np.pi / 4, -np.pi / 4), 0.5 * np.arctan2(2 * b, c - a))
    return 4 * np.sqrt(larger), 4 * np.sqrt(smaller), np.asarray(angle)
