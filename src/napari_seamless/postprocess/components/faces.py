"""Which components touch across the faces of tiles.

A tile leaves the numbers of its components along its faces. Two tiles that do not overlap are apart along some axis,
so pixels of them that touch lie on faces that look at each other along it: only such pairs are compared. A face is
dropped when all that it looks at is read, so that what is kept is a front through the image, never the image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Region
from napari_seamless.postprocess.object_table import Ints

NO_PAIRS = np.zeros((0, 2), np.int64)


@dataclass(frozen=True, eq=False)
class Face:
    """The outermost pixels of a tile on one `side` (-1 or 1) of an axis.

    `plane` is where they are, one pixel thick, `numbers` (*plane.shape without the axis) the component of each; 0 is
    none.
    """

    plane: Region
    axis: int
    side: int
    numbers: Ints

    def outside(self, connectivity: int) -> Region:
        """All pixels that can touch the face from outside."""
        along = [0 if axis == self.axis else int(connectivity > 1) for axis in range(self.plane.ndim)]
        return self.plane.shift(self._step).grow(along)

    def touching(self, other: Face, connectivity: int) -> Ints:
        """(n, 2): pairs of this face's numbers and another's that touch by at most `connectivity` axes."""
        if not self._looks_at(other):
            return NO_PAIRS
        return np.unique(np.concatenate([NO_PAIRS, *self._pairs(other, connectivity)]), axis=0)

    def _looks_at(self, other: Face) -> bool:
        if (other.axis, other.side) != (self.axis, -self.side):
            return False
        return self.plane.intervals[self.axis].shift(self.side) == other.plane.intervals[self.axis]

    def _pairs(self, other: Face, connectivity: int) -> Iterator[Ints]:
        mine, its = self._flat(self.plane), self._flat(other.plane)
        for along in product((-1, 0, 1), repeat=mine.ndim):
            if sum(map(abs, along)) >= connectivity:
                continue
            shared = mine.shift(along).intersect(its)
            if shared.is_empty:
                continue
            inner = self.numbers[shared.shift([-a for a in along]).slices(mine.start)]
            outer = other.numbers[shared.slices(its.start)]
            both = (inner != 0) & (outer != 0)
            yield np.unique(np.stack([inner[both], outer[both]], 1), axis=0)

    @property
    def _step(self) -> tuple[int, ...]:
        return tuple(self.side if axis == self.axis else 0 for axis in range(self.plane.ndim))

    def _flat(self, plane: Region) -> Region:
        return Region(plane.intervals[: self.axis] + plane.intervals[self.axis + 1 :])


def faces_of(tile: Region, numbers: NDArray[np.integer]) -> Iterator[Face]:
    """All faces of a tile, with copies of the numbers (*tile.shape) that lie there."""
    for axis, side in product(range(tile.ndim), (-1, 1)):
        taken = np.asarray(numbers.take(0 if side < 0 else -1, axis), np.int64)
        yield Face(face_plane(tile, axis, side), axis, side, taken)


def face_plane(tile: Region, axis: int, side: int) -> Region:
    """Where the face of a tile lies."""
    span = tile.intervals[axis]
    at = span.lo if side < 0 else span.hi - 1
    return Region((*tile.intervals[:axis], Interval(at, at + 1), *tile.intervals[axis + 1 :]))
