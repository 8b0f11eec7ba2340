"""The outlines of labels: exact polygons along the edges of pixels, found in bands and joined across them.

::

    band k    every connected part of one label becomes a polygon; what touches the band's last row stays open
    band k+1  parts that continue open ones (the same label on both sides of the seam) are joined with them;
              what is open no more is given out

Parts are connected by edges, not corners, as pixels of one label. Memory holds one band, and the outlines that are
open: those of objects that the seam cuts, whatever the number of objects above.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from shapely import MultiPolygon, Polygon
from shapely.geometry.polygon import orient
from skimage.measure import label as parts_of

Labels = NDArray[Any]
Outline = tuple[int, Polygon | MultiPolygon]
"""A label, and an outline in pixels: the pixel (0, 0) is the square from corner (0, 0) to corner (1, 1), x first."""


class Outlines:
    """Give bands of labels from top to bottom, (y, x) of equal width; get outlines as soon as they are closed.

    The first pixel of the first band has its `corner` (y, x) there.
    """

    def __init__(self, corner: tuple[int, int] = (0, 0)) -> None:
        self._top, self._left = corner
        self._open: list[tuple[int, list[Polygon]]] = []
        self._seam: Labels | None = None
        self._owners: NDArray[np.int64] | None = None

    def add(self, band: Labels) -> Iterator[Outline]:
        """Take a band; give what it closed. A generator: run it to its end before the next band."""
        numbers = np.asarray(parts_of(band, background=0, connectivity=1), np.int64)
        values, polygons = traced(band, numbers, self._top, self._left)
        groups = self._groups(band[0], numbers[0], len(values))
        yield from self._settle(groups, values, polygons, numbers[-1])
        self._seam, self._top = band[-1].copy(), self._top + len(band)

    def close(self) -> Iterator[Outline]:
        """What is open still ends at the image's edge."""
        for value, pieces in self._open:
            yield value, joined(pieces)
        self._open, self._seam, self._owners = [], None, None

    def _groups(self, row: Labels, numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
        """For every open outline, and then for every new part, the object it belongs to."""
        before = len(self._open)
        if self._seam is None or self._owners is None:
            return np.arange(count, dtype=np.int64)
        meets = (row == self._seam) & (row != 0)
        pairs = np.unique(np.stack([self._owners[meets], numbers[meets] - 1 + before]), axis=1)
        links = coo_array((np.ones(pairs.shape[1], np.int8), tuple(pairs)), shape=(before + count,) * 2)
        return np.asarray(connected_components(links, directed=False)[1], np.int64)

    def _settle(
        self, groups: NDArray[np.int64], values: list[int], polygons: list[Polygon], last: NDArray[np.int64]
    ) -> Iterator[Outline]:
        pieces: dict[int, tuple[int, list[Polygon]]] = {}
        for group, (value, parts) in zip(groups, self._open, strict=False):
            pieces.setdefault(int(group), (value, []))[1].extend(parts)
        mine = groups[len(self._open) :]
        for group, value, polygon in zip(mine, values, polygons, strict=True):
            pieces.setdefault(int(group), (value, []))[1].append(polygon)
        open_groups = np.unique(mine[last[last > 0] - 1])
        for group in pieces.keys() - set(open_groups.tolist()):
            value, parts = pieces[group]
            yield value, joined(parts)
        self._open = [pieces[int(group)] for group in open_groups]
        self._owners = np.full(last.shape, -1, np.int64)
        self._owners[last > 0] = np.searchsorted(open_groups, mine[last[last > 0] - 1])


def traced(labels: Labels, numbers: NDArray[np.int64], top: int = 0, left: int = 0) -> tuple[list[int], list[Polygon]]:
    """The value and the polygon of each connected part of `labels`; `numbers` counts the parts from 1, 0 is none.

    `top` and `left` are the row and the column of the image at which `labels` begin.
    """
    count = int(numbers.max(initial=0))
    if not count:
        return [], []
    faces = shapely.get_parts(shapely.polygonize(_edges(numbers)))
    inside = shapely.get_coordinates(shapely.point_on_surface(faces)).astype(np.int64)  # x, y
    owner = numbers[inside[:, 1], inside[:, 0]]
    values = np.zeros(count, labels.dtype)
    found = np.empty(count, object)
    values[owner[owner > 0] - 1] = labels[inside[:, 1], inside[:, 0]][owner > 0]
    found[owner[owner > 0] - 1] = shapely.transform(faces[owner > 0], lambda corners: corners + np.array([left, top]))
    return [int(v) for v in values], list(found)


def _edges(numbers: NDArray[np.int64]) -> NDArray[Any]:
    """The straight lines between parts, cut where they meet others, as shapely lines."""
    framed = np.pad(numbers, 1)
    across = framed[1:, 1:-1] != framed[:-1, 1:-1]  # (y + 1, x): a line below row y - 1
    down = framed[1:-1, 1:] != framed[1:-1, :-1]  # (y, x + 1): a line left of column x
    left, right = np.pad(across, ((0, 0), (1, 0))), np.pad(across, ((0, 0), (0, 1)))
    above, below = np.pad(down, ((1, 0), (0, 0))), np.pad(down, ((0, 1), (0, 0)))
    straight = (left & right & ~above & ~below) | (above & below & ~left & ~right)
    ends = (left | right | above | below) & ~straight
    level = _runs(across, ends)
    upright = _runs(down.T, ends.T)[..., ::-1]
    return np.asarray(shapely.linestrings(np.concatenate([level, upright])))


def _runs(lines: NDArray[np.bool_], ends: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Runs of unit lines along rows, from end to end: (n, 2 points, x and y)."""
    row, first = np.nonzero(lines & ends[:, :-1])
    _, last = np.nonzero(lines & ends[:, 1:])
    return np.stack([np.stack([first, row], -1), np.stack([last + 1, row], -1)], 1).astype(np.float64)


def joined(pieces: list[Polygon]) -> Polygon:
    """The parts of one object as one outline without needless corners, its rings turned as RFC 7946 has them."""
    return orient(shapely.simplify(pieces[0] if len(pieces) == 1 else shapely.union_all(pieces), 0))
