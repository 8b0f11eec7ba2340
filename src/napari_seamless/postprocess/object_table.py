"""The table of objects: columns, one row an object."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """Columns of n objects in an image with d axes, ([z,] y, x).

    `id` is 1 or more and follows from the object's place: known when the object is settled, the same for any tiles.
    `dense` counts them from 1 instead. `label` is the class. `area` counts pixels, `centroid` (n, d) float64 is in
    pixels with centres at whole numbers, `low` and `high` (n, d) are the bounding box, half-open. `extra` has what the
    step or its user measured besides, each (n, ...): a score, mean intensities.
    """

    id: Ints
    label: Ints
    area: Ints
    centroid: NDArray[np.float64]
    low: Ints
    high: Ints
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> ObjectTable:
        """What `columns` gave."""
        extra = dict(columns)
        own = {name: extra.pop(name) for name in ("id", "label", "area", "centroid", "low", "high")}
        return cls(**own, extra=extra)

    @classmethod
    def empty(cls, ndim: int) -> ObjectTable:
        flat, wide = np.zeros(0, np.int64), np.zeros((0, ndim), np.int64)
        return cls(flat, flat, flat, np.zeros((0, ndim)), wide, wide)

    def __len__(self) -> int:
        return len(self.id)

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name, those of `extra` after the others."""
        own = {name: getattr(self, name) for name in ("id", "label", "area", "centroid", "low", "high")}
        return own | dict(self.extra)

    def take(self, rows: NDArray[np.generic]) -> ObjectTable:
        """These rows (numbers or bool)."""
        return ObjectTable.of({name: column[rows] for name, column in self.columns.items()})

    @property
    def dense(self) -> ObjectTable:
        """The same rows with ids 1, 2, 3, ..."""
        return replace(self, id=np.arange(1, len(self) + 1))


def in_order(tables: Sequence[ObjectTable], ndim: int) -> ObjectTable:
    """One table of all, by rising id. Tables of equal columns; those without a row may have fewer."""
    filled = [table.columns for table in tables if len(table)]
    if not filled:
        return next(iter(tables), ObjectTable.empty(ndim))
    everything = ObjectTable.of({name: np.concatenate([columns[name] for columns in filled]) for name in filled[0]})
    return everything.take(np.argsort(everything.id, kind="stable"))


def inside(table: ObjectTable, region: Region) -> NDArray[np.bool_]:
    """(n,) which rows have their centroid in a region."""
    centroid = table.centroid + 0.5
    return np.asarray(((centroid >= region.start) & (centroid < region.stop)).all(axis=1))


def with_dense_ids(labels: Ints, ids: Ints) -> Ints:
    """Painted labels with 1, 2, 3, ... instead of `ids` (all of a result, rising); 0 stays."""
    return np.where(labels, np.searchsorted(ids, labels) + 1, 0)
