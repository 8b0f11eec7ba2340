"""The pixels of polygons, as rows of bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Masks(NamedTuple):
    """Which pixels n polygons have, also beyond the image: those whose centres lie in a polygon or on its edge.

    The box of each has `rows` and `columns` pixels from `top` and `left` of the image. Its pixels are bits of unsigned
    64-bit words, so many a row that they suffice, the first of them at `start` in `bits`. `area` counts them.
    """

    bits: NDArray[np.uint64]
    start: NDArray[Any]
    top: NDArray[Any]
    left: NDArray[Any]
    rows: NDArray[Any]
    columns: NDArray[Any]
    area: NDArray[Any]
