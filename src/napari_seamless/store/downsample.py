"""One level from the next finer one: 2x2 in y and x, nothing in z.

A coarse pixel depends on its own 2x2 finer pixels alone, so any order and any size of tiles gives the same levels.
Where a side is odd the last row or column has no partner; repeating it gives exactly the mean, and the mode, of
the pixels that exist.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.store.spec import Kind

Array = NDArray[Any]

LARGEST = 8
"""Bytes of the widest whole numbers that there are."""


def halve(pixels: Array, kind: Kind) -> Array:
    """(c, [z,] y, x) -> (c, [z,] ceil(y/2), ceil(x/2)), same dtype, an array of its own.

    `pixels` must start at an even row and column of its level and end at an even one or at the level's far edge.
    """
    odd_y, odd_x = pixels.shape[-2] % 2, pixels.shape[-1] % 2
    if odd_y or odd_x:
        pixels = np.pad(pixels, [(0, 0)] * (pixels.ndim - 2) + [(0, odd_y), (0, odd_x)], mode="edge")
    corners = [pixels[..., y::2, x::2] for y in (0, 1) for x in (0, 1)]
    if kind == "labels":
        return _mode(*corners)
    return _mean_of_floats(*corners) if pixels.dtype.kind == "f" else _mean_of_integers(*corners)


def _mode(a: Array, b: Array, c: Array, d: Array) -> Array:
    """The most frequent of four labels; on a tie the larger one.

    The larger one, because 0 is background: a structure one pixel wide then stays visible when zoomed out.
    """
    low, high = np.minimum(a, b), np.maximum(a, b)
    lower, higher = np.minimum(c, d), np.maximum(c, d)
    first, last = np.minimum(low, lower), np.maximum(high, higher)
    if np.array_equal(first, last):
        return last
    inner, outer = np.maximum(low, lower), np.minimum(high, higher)
    second, third = np.minimum(inner, outer), np.maximum(inner, outer)
    # four sorted values: a run of three or four holds the middle pair, otherwise the largest pair wins
    return np.where(third == last, last, np.where(second == third, third, np.where(first == second, first, last)))


def _mean_of_integers(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Mean of four, a half rounded to the even neighbour (always up would brighten every level)."""
    if a.dtype.itemsize == LARGEST:
        return _mean_of_largest(a, b, c, d)
    wide = np.dtype(f"{a.dtype.kind}{a.dtype.itemsize * 2}")
    total = np.add(a, b, dtype=wide)
    total += c
    total += d
    total += 1 + ((total >> 2) & 1)
    total >>= 2
    return total.astype(a.dtype)


def _mean_of_largest(*corners: Array) -> Array:
    """The same where nothing wider holds the sum: quarters are added, and what is left of each."""
    one, two, three = (corners[0].dtype.type(n) for n in (1, 2, 3))
    low, rest = corners[0] >> two, corners[0] & three
    for corner in corners[1:]:
        low, rest = low + (corner >> two), rest + (corner & three)
    low, left = low + (rest >> two), rest & three
    is_up = (left == three) | ((left == two) & ((low & one) == one))
    return np.asarray(low + is_up.astype(low.dtype))


def _mean_of_floats(a: Array, b: Array, c: Array, d: Array) -> Array:
    """Mean of four, always added in the same order, so that it is the same bits whatever the tile."""
    quarter = np.float32(0.25)
    with np.errstate(all="ignore"):
        total = a.astype(np.result_type(a.dtype, np.float32)) * quarter
        for corner in (b, c, d):
            total += corner * quarter
        return total.astype(a.dtype)
