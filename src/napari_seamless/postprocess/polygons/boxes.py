"""Boxes as arrays (n, 2, 2), low and high of each, half-open, in pixels: which touch, and how much they share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints

Bools = NDArray[np.bool_]


def box_of(region: Region) -> Ints:
    """(2, 2)."""
    return np.array([region.start, region.stop], np.int64)


def no_boxes() -> Ints:
    return np.zeros((0, 2, 2), np.int64)


def grown(boxes: Ints, by: int) -> Ints:
    """Boxes, or one (2, 2), with `by` pixels more on every side."""
    return np.asarray(boxes + np.array([[-by], [by]]))


def hull(boxes: Ints) -> Ints:
    """(1, 2, 2) the box around all; (0, 2, 2) where there are none."""
    return np.stack([boxes[:, 0].min(axis=0), boxes[:, 1].max(axis=0)])[None] if len(boxes) else no_boxes()


def touching(boxes: Ints, others: Ints) -> Bools:
    """Which boxes share a pixel with any of some (few) others."""
    found = np.zeros(len(boxes), bool)
    for low, high in others:
        found |= (
            (boxes[:, 0, 0] < high[0])
            & (boxes[:, 1, 0] > low[0])
            & (boxes[:, 0, 1] < high[1])
            & (boxes[:, 1, 1] > low[1])
        )
    return found


def shared_sizes(boxes: Ints, box: Ints) -> Ints:
    """Pixels that each shares with one (2, 2)."""
    sides = np.minimum(boxes[:, 1], box[1]) - np.maximum(boxes[:, 0], box[0])
    return np.asarray(np.maximum(sides, 0).prod(axis=1))
