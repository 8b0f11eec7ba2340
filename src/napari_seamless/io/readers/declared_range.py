"""Which of the numbers of its type an image uses, as its file says: 12 bits in 16, for example."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

FEWEST_BITS = 2
"""An image of one bit is a mask, of which nobody asks what white is."""


def range_of_bits(said: Iterable[int | None], dtype: np.dtype[Any]) -> tuple[float, float] | None:
    """0 to the largest number of the fewest bits that are said, where these are fewer than the type has; else None.

    >>> range_of_bits([None, 12, 16], np.dtype("uint16"))
    (0.0, 4095.0)
    >>> range_of_bits([16], np.dtype("uint16")) is None
    True
    """
    if dtype.kind != "u":
        return None
    bits = min((n for n in said if n is not None and n >= FEWEST_BITS), default=dtype.itemsize * 8)
    return (0.0, float((1 << bits) - 1)) if bits < dtype.itemsize * 8 else None


def bits_of_largest(largest: object) -> int | None:
    """The bits of which a number is the largest; None for all others, which a file gives as those that it happens to
    have.

    >>> bits_of_largest(4095), bits_of_largest(3871)
    (12, None)
    """
    try:
        number = int(np.max(np.asarray(largest, np.float64)))
    except (TypeError, ValueError, OverflowError):
        return None
    return number.bit_length() if number > 0 and number & (number + 1) == 0 else None
