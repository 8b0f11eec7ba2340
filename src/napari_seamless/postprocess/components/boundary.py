"""Pixels of a boundary class, which belong to the nearest object.

A network that keeps touching objects apart gives each a boundary of another class. A boundary pixel belongs to the
object of which some core pixel is nearest to it (between centres, in pixels), if that is at most `reach` pixels away;
of several that are equally near the first in raster order counts. So the answer depends on pixels within `reach` alone,
and is the same however the image is cut. Boundaries do not join objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import floor

import numpy as np

from napari_seamless.postprocess.object_table import Ints


def nearest_cores(pixels: tuple[Ints, ...], owners: Ints, corner: Sequence[int], reach: float) -> tuple[Ints, Ints]:
    """For boundary pixels (global coordinates): (which of them lie near a core, the owner of that core).

    `owners` holds for each pixel, of an array whose first one lies at `corner`, a number other than 0 where there is a
    core; it must hold everything within `reach` of the boundary pixels.
    """
    left = np.arange(len(pixels[0]))
    found = np.zeros(len(left), np.int64)
    strides = [int(s) // owners.itemsize for s in np.ascontiguousarray(owners).strides]
    flat = owners.reshape(-1)
    at = np.zeros(len(left), np.int64)
    for axis, place in enumerate(pixels):
        at += (place - corner[axis]) * strides[axis]
    for offset in nearest_first(owners.ndim, reach):
        if not len(left):
            break
        step = sum(o * s for o, s in zip(offset, strides, strict=True))
        owner = flat[at[left] + step]
        found[left] = owner
        left = left[owner == 0]
    near = np.flatnonzero(found)
    return near, found[near]


@lru_cache(maxsize=8)
def nearest_first(ndim: int, reach: float) -> tuple[tuple[int, ...], ...]:
    """All steps of at most `reach` pixels but none at all, the shortest first, equal ones in raster order."""
    span = range(-floor(reach), floor(reach) + 1)
    steps = [step for step in product(span, repeat=ndim) if 0 < sum(s * s for s in step) <= reach * reach]
    return tuple(sorted(steps, key=lambda step: (sum(s * s for s in step), step)))
