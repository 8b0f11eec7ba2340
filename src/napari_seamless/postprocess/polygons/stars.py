"""Star-convex polygons as columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.polygons.boxes import Bools

PARTS = 65536
"""Of a pixel: vertices are rounded to one, so that what is inside follows from whole numbers alone, at any place."""


@dataclass(frozen=True, eq=False)
class Stars:
    """Columns of n polygons.

    `id` is the cell of the centre, as an index of the flattened output of the whole image, counted from 1; `center`
    (n, 2) its pixel; `score` (float32) the probability; `distance` (n, rays; float32), in pixels, of vertices at equal
    angles from the x axis towards y; `label` the class; `clipped` whether a ray was longer than the largest radius.
    """

    id: Ints
    center: Ints
    score: NDArray[np.float32]
    distance: NDArray[np.float32]
    label: Ints
    clipped: Bools

    @classmethod
    def empty(cls, rays: int) -> Stars:
        flat, floats = np.zeros(0, np.int64), np.zeros((0, rays), np.float32)
        return cls(flat, np.zeros((0, 2), np.int64), floats[:, 0], floats, flat, np.zeros(0, bool))

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> Stars:
        """What `columns` gave."""
        return cls(**{name: columns[name] for name in _NAMES})

    @classmethod
    def joined(cls, some: Sequence[Stars]) -> Stars:
        """The rows of all, of which there is at least one."""
        return cls(*(np.concatenate(column) for column in zip(*(one.columns.values() for one in some), strict=True)))

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in _NAMES}

    def __len__(self) -> int:
        return len(self.id)

    def take(self, rows: NDArray[Any]) -> Stars:
        """These rows (numbers or bool)."""
        return Stars(*(column[rows] for column in self.columns.values()))

    @property
    def by_rank(self) -> Ints:
        """Rows by falling score, equal ones by their place in raster order."""
        return np.lexsort((self.id, -self.score))

    @property
    def vertices(self) -> tuple[Ints, Ints]:
        """(n, rays) y and x, counted from the centre, in whole parts of a pixel (`PARTS`)."""
        rays = self.distance.shape[1]
        angles = np.arange(rays) * (2 * np.pi / rays)
        y, x = (np.rint(self.distance * (PARTS * turn(angles))).astype(np.int64) for turn in (np.sin, np.cos))
        return y, x

    @property
    def boxes(self) -> Ints:
        """(n, 2, 2): low and high of the pixels of each, also beyond the image; the centre is always one."""
        return self.boxes_of(self.vertices)

    def boxes_of(self, vertices: tuple[Ints, Ints]) -> Ints:
        """As `boxes`, where the vertices are at hand."""
        low = np.stack([-(-v.min(axis=1) // PARTS) for v in vertices], 1)
        high = np.stack([v.max(axis=1) // PARTS + 1 for v in vertices], 1)
        return np.stack([self.center + low, self.center + high], 1)


_NAMES = tuple(one.name for one in fields(Stars))
