"""What is summed up over the pixels of objects, and what of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.object_table import Ints

Bools = NDArray[np.bool_]


class ShapeColumns(NamedTuple):
    """The columns of particles that tell of objects."""

    start: Ints
    place: Ints
    logit: NDArray[np.float32]
    kind: NDArray[np.uint16]
    cut: Bools
    step: NDArray[np.float32]


class ShapeSums(NamedTuple):
    """Sums over n objects, with their holes but for the `score`, `kinds` (n, classes), `error`, `cut` and `limited`."""

    kept: Bools
    area: Ints
    total: Ints
    low: Ints
    high: Ints
    kinds: Ints
    score: NDArray[np.float64]
    error: NDArray[np.float64]
    cut: Bools
    limited: Bools

    @classmethod
    def zeros(cls, count: int, classes: int) -> ShapeSums:
        total, low, high = (np.zeros((count, 2), np.int64) for _ in range(3))
        kept, cut, limited = (np.zeros(count, bool) for _ in range(3))
        score, error = (np.zeros(count) for _ in range(2))
        area, kinds = np.zeros(count, np.int64), np.zeros((count, max(classes, 1)), np.int64)
        return cls(kept, area, total, low, high, kinds, score, error, cut, limited)
