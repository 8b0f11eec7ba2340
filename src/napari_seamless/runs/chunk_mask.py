"""Leaving out what is empty: chunks of the result that lie wholly outside a mask of the image."""

from __future__ import annotations

from io import BytesIO

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Grid, Region
from napari_seamless.store import Store

MASK = "tissue.npy"


def skip_outside(store: Store, mask: NDArray[np.bool_], region: Region) -> float:
    """Count the chunks outside `mask`, (y, x) over the whole image, as finished; the share of `region` they make up.

    The mask is kept beside a result on disk. Raises OutputUnwritable.
    """
    empty = ~touched(store.grid, mask)
    store.skip(empty & ~store.finished)
    if store.side_folder is not None:
        written = BytesIO()
        np.save(written, mask)
        store.keep(MASK, written.getvalue())
    return float(empty[store.grid.covering(region).slices()].mean())


def touched(grid: Grid, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The chunks of `grid` in which the mask, stretched over the whole grid in y and x, has any pixel."""
    rows, columns = (_spans(grid, axis, mask.shape[axis]) for axis in (-2, -1))
    sums = np.zeros((mask.shape[0] + 1, mask.shape[1] + 1), np.int64)
    sums[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    (top, bottom), (left, right) = rows, columns
    inside = sums[bottom][:, right] - sums[top][:, right] - sums[bottom][:, left] + sums[top][:, left]
    found: NDArray[np.bool_] = np.broadcast_to(inside > 0, grid.counts)
    return found


def _spans(grid: Grid, axis: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where each chunk begins and ends on the mask, at least one pixel of it."""
    edges = np.minimum(np.arange(grid.counts[axis] + 1) * grid.cell[axis], grid.shape[axis])
    lo = edges[:-1] * size // grid.shape[axis]
    hi = -(-edges[1:] * size // grid.shape[axis])
    return lo, np.maximum(hi, lo + 1)
