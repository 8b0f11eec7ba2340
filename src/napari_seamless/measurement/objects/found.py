"""Which objects there are in painted labels: the first pass, over tiles in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import InputMismatch, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.measurement.objects import kernels
from napari_seamless.postprocess.object_table import Ints, ObjectTable

Read = Callable[[Region], NDArray[Any]]


def find_objects(
    read: Read,
    tiles: Iterable[Region],
    table: ObjectTable | None = None,
    *,
    is_whole: bool = True,
    on_tile: Callable[[Region], None] | None = None,
) -> ObjectTable:
    """Every label but 0 in these tiles, which share no pixel, by rising id. `read` gives labels (y, x) of a region.

    `area`, `centroid`, `low` and `high` are of the pixels that a label has; class and `extra` are those of `table` (by
    rising id), in which there may be others. Without one all have the class 1. Labels that are not in the table are
    left out where it is not `is_whole`, since its objects are still being made.

    Memory: one tile, and 64 bytes for each object and each tile that it touches. Raises InputMismatch for a label that
    is not in the table, and what `read` raises.
    """
    pieces = [_merged(np.zeros((0, 8), np.int64))]
    for tile in tiles:
        pieces.append(_in_tile(np.ascontiguousarray(read(tile), np.int64), *tile.start))
        if on_tile is not None:
            on_tile(tile)
    rows = _merged(np.concatenate(pieces))
    ids, area = rows[:, 0], rows[:, 1]
    boxes: dict[str, Any] = {
        "area": area,
        "centroid": rows[:, 2:4] / area[:, None],
        "low": rows[:, 4:6],
        "high": rows[:, 6:8],
    }
    if table is None:
        return ObjectTable(id=ids, label=np.ones(len(ids), np.int64), **boxes)
    known = np.isin(ids, table.id, assume_unique=True)
    if not known.all() and is_whole:
        raise InputMismatch(
            f"each label must have a row in the table of objects; {np.count_nonzero(~known):,} labels have none, the "
            f"first of them {ids[~known][0]}; give the table that was made with the labels"
        )
    boxes = {name: column[known] for name, column in boxes.items()}
    return replace(table.take(np.searchsorted(table.id, ids[known])), **boxes)


def check_stopped(cancelled: Callable[[], bool] | None) -> None:
    """Raise RunCancelled where somebody wants no more."""
    if cancelled is not None and cancelled():
        raise RunCancelled("measuring was stopped; nothing of it is kept")


def _in_tile(labels: Ints, top: int, left: int) -> Ints:
    """(n, 8): id, pixels, their coordinates added up, and their box."""
    runs = np.zeros((kernels.count_runs(labels), 4), np.int64)
    kernels.find_runs(labels, runs)
    label, y, first, end = runs.T
    y, first, end = y + top, first + left, end + left
    length = end - first
    along = (first + end - 1) * length // 2
    return _merged(np.stack([label, length, y * length, along, y, first, y + 1, end], 1))


def _merged(rows: Ints) -> Ints:
    """One row an id, by rising id."""
    if not len(rows):
        return rows
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    starts = np.flatnonzero(np.diff(rows[:, 0], prepend=rows[0, 0] - 1))
    return np.concatenate(
        [
            rows[starts, :1],
            np.add.reduceat(rows[:, 1:4], starts),
            np.minimum.reduceat(rows[:, 4:6], starts),
            np.maximum.reduceat(rows[:, 6:8], starts),
        ],
        axis=1,
    )
