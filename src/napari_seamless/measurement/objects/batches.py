"""Objects in an order that follows from their places, a band of rows after the other, and what is read for each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.measurement.objects.found import Read
from napari_seamless.postprocess.object_table import Ints, ObjectTable

BAND = 1024
"""Rows of the image whose objects come together, by their id. Part of the order of rows, so never a setting."""
MARGIN = 2
"""Pixels around an object that its perimeter depends on."""


@dataclass(frozen=True, eq=False)
class Piece:
    """Labels of a `region` (y, x), of which objects are to be measured in the rows [rows[0], rows[1])."""

    labels: Ints
    region: Region
    rows: tuple[int, int]


def bands(found: ObjectTable) -> Iterator[Ints]:
    """Numbers of the objects of each band, there by id. An object belongs to the band that its id follows from: that
    of its centre, if it has one, or of its first row. At least one band, which may be empty."""
    anchor = found.extra["center"][:, 0] if "center" in found.extra else found.low[:, 0]
    order = np.lexsort((found.id, anchor // BAND))
    edges = np.flatnonzero(np.diff(anchor[order] // BAND)) + 1
    yield from np.split(order, edges)


def groups(found: ObjectTable, numbers: Ints, cell: int) -> Iterator[Ints]:
    """Objects of a band that are read at once: those whose boxes begin in one cell of so many pixels, and each that is
    larger than a cell by itself; of none, one group of none."""
    if not len(numbers):
        yield numbers
        return
    low, size = found.low[numbers], (found.high - found.low)[numbers].max(axis=1)
    yield from (numbers[k : k + 1] for k in np.flatnonzero(size > cell))
    small, corner = numbers[size <= cell], low[size <= cell] // cell
    order = np.lexsort((corner[:, 1], corner[:, 0]))
    edges = np.flatnonzero(np.diff(corner[order], axis=0).any(axis=1)) + 1
    yield from (small[part] for part in np.split(order, edges) if len(part))


def pieces(found: ObjectTable, group: Ints, read: Read, shape: tuple[int, int], cell: int) -> Iterator[Piece]:
    """Labels that hold the boxes of a group, and what is around them, in strips of rows from top to bottom: as few as
    keep each below 4 cells' pixels."""
    if not len(group):
        return
    low, high = found.low[group].min(axis=0), found.high[group].max(axis=0)
    top, bottom = int(low[0]), int(high[0])
    wide = int(high[1] - low[1])
    step = max(1, 4 * cell * cell // wide)
    for row in range(top, bottom, step):
        end = min(row + step, bottom)
        region = Region.of((row, end), (int(low[1]), int(high[1]))).grow([MARGIN] * 2)
        region = region.intersect(Region.from_shape(shape))
        yield Piece(np.ascontiguousarray(read(region), np.int64), region, (row, end))
