"""Compiled filters of maps and masks, which give the same bits wherever a pixel lies in its array."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.compiled import compiled

Array = NDArray[Any]


@compiled
def correlate(plane: Array, along_y: Array, along_x: Array, result: Array) -> None:
    """Into `result`: a plane (y, x) weighted along both axes; outside is 0. Weights have an odd length, and are summed
    from the first to the last."""
    rows, columns = plane.shape
    half_y, half_x = len(along_y) // 2, len(along_x) // 2
    padded = np.zeros(columns + 2 * half_x, plane.dtype)
    for y in range(rows):
        line = padded[half_x : half_x + columns]
        line[:] = 0
        for k in range(len(along_y)):
            if 0 <= y + k - half_y < rows:
                weight, taken = along_y[k], plane[y + k - half_y]
                for x in range(columns):
                    line[x] += weight * taken[x]
        out = result[y]
        out[:] = 0
        for k in range(len(along_x)):
            weight, taken = along_x[k], padded[k : k + columns]
            for x in range(columns):
                out[x] += weight * taken[x]


@compiled
def drop_small(mask: Array, smallest: int, diagonal: bool) -> None:
    """Clear components of less than `smallest` pixels; pixels touch by sides, or also by corners (`diagonal`)."""
    rows, columns = mask.shape
    seen = np.zeros(mask.shape, np.bool_)
    found = np.empty(mask.size, np.int64)
    for top in range(rows):
        for left in range(columns):
            if not mask[top, left] or seen[top, left]:
                continue
            found[0], seen[top, left] = top * columns + left, True
            count, at = 1, 0
            while at < count:
                y, x = found[at] // columns, found[at] % columns
                at += 1
                for other_y in range(max(y - 1, 0), min(y + 2, rows)):
                    for other_x in range(max(x - 1, 0), min(x + 2, columns)):
                        beside = diagonal or other_y == y or other_x == x
                        if beside and mask[other_y, other_x] and not seen[other_y, other_x]:
                            seen[other_y, other_x] = True
                            found[count] = other_y * columns + other_x
                            count += 1
            if count < smallest:
                for at in range(count):
                    mask[found[at] // columns, found[at] % columns] = False
