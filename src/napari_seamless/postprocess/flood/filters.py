"""Compiled filters, which give the same bits wherever a pixel lies in its array."""

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
