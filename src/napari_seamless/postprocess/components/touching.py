"""Which parts touch across the borders of pieces.

Each piece leaves the numbers of its parts along its faces. The next one lays the faces of its neighbours around itself
and looks across. A face is dropped when all neighbours have been there, so that what is kept is a front through the
image, never the image.
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Cell, Grid

Ints = NDArray[np.int64]
Faces = dict[tuple[int, int], Ints]
"""By axis and side (-1 or 1): the part numbers of the outermost pixels, without that axis; 0 is none."""


class Frontier:
    """The pieces of a grid, in any order. `add` each one once."""

    def __init__(self, grid: Grid, connectivity: int) -> None:
        self._grid, self._connectivity = grid, connectivity
        self._faces: dict[Cell, Faces] = {}
        self._seen: dict[Cell, int] = {}

    def add(self, cell: Cell, numbers: Ints) -> Ints:
        """Take a piece's part numbers (0 is none); give (n, 2), pairs of touching parts of it and earlier pieces."""
        ndim = numbers.ndim
        faces = {(axis, side): np.asarray(numbers.take(0 if side < 0 else -1, axis)) for axis, side in _sides(ndim)}
        found = [np.zeros((0, 2), np.int64)]
        for (axis, side), inner in faces.items():
            if inner.any():
                around = self._around(cell, axis, side, inner.shape)
                if around is not None:
                    found.extend(_touching(inner, around, self._connectivity))
        self._faces[cell] = faces
        self._forget(cell)
        return np.unique(np.concatenate(found), axis=0)

    def _around(self, cell: Cell, axis: int, side: int, shape: tuple[int, ...]) -> Ints | None:
        """The pixels across a face, with one pixel more on all sides of it; None where nothing is there yet."""
        plane = np.zeros(tuple(n + 2 for n in shape), np.int64)
        is_there = False
        for along in product((-1, 0, 1), repeat=len(shape)):
            other = [*along[:axis], side, *along[axis:]]
            faces = self._faces.get(tuple(c + o for c, o in zip(cell, other, strict=True)))
            if faces is not None:
                is_there = True
                plane[tuple(_OUTER[a] for a in along)] = faces[axis, -side][tuple(_INNER[a] for a in along)]
        return plane if is_there else None

    def _forget(self, cell: Cell) -> None:
        """Drop the faces that no piece will ask for any more."""
        for step in product((-1, 0, 1), repeat=len(cell)):
            other = tuple(c + s for c, s in zip(cell, step, strict=True))
            if not all(0 <= c < n for c, n in zip(other, self._grid.counts, strict=True)):
                continue
            self._seen[other] = self._seen.get(other, 0) + 1
            if self._seen[other] == _neighbours(other, self._grid.counts):
                del self._seen[other]
                self._faces.pop(other, None)


_OUTER = {-1: slice(0, 1), 0: slice(1, -1), 1: slice(-1, None)}
_INNER = {-1: slice(-1, None), 0: slice(None), 1: slice(0, 1)}


def _sides(ndim: int) -> list[tuple[int, int]]:
    return list(product(range(ndim), (-1, 1)))


def _touching(inner: Ints, around: Ints, connectivity: int) -> list[Ints]:
    """Pairs of numbers across one face, one step out and at most `connectivity - 1` steps along it."""
    found = []
    for along in product((-1, 0, 1), repeat=inner.ndim):
        if sum(map(abs, along)) < connectivity:
            outer = around[tuple(slice(1 + a, 1 + a + n) for a, n in zip(along, inner.shape, strict=True))]
            both = (inner != 0) & (outer != 0)
            found.append(np.unique(np.stack([inner[both], outer[both]], 1), axis=0))
    return found


def _neighbours(cell: Cell, counts: tuple[int, ...]) -> int:
    """How many cells, itself among them, touch a cell."""
    total = 1
    for c, n in zip(cell, counts, strict=True):
        total *= 1 + (c > 0) + (c < n - 1)
    return total
