"""The pixels of polygons, and what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints, ObjectTable
from napari_seamless.postprocess.polygons.boxes import box_of
from napari_seamless.postprocess.polygons.masks import Masks
from napari_seamless.postprocess.polygons.stars import Stars


def masks_of(stars: Stars) -> Masks:
    """Which pixels polygons have."""
    from napari_seamless.postprocess.polygons import kernels

    vertices = stars.vertices
    boxes = stars.boxes_of(vertices)
    (top, left), (rows, columns) = boxes[:, 0].T.copy(), (boxes[:, 1] - boxes[:, 0]).T.copy()
    sizes = rows * ((columns + 63) // 64)
    bits, area = np.zeros(int(sizes.sum()), np.uint64), np.zeros(len(stars), np.int64)
    masks = Masks(bits, np.cumsum(sizes) - sizes, top, left, rows, columns, area)
    kernels.fill_bits(masks, stars.center, *vertices)
    return masks


def objects_of(stars: Stars, region: Region) -> ObjectTable:
    """The table of polygons as they lie in a region; what is outside is not there."""
    from napari_seamless.postprocess.polygons import kernels

    area, bounds = np.zeros(len(stars), np.int64), box_of(region)
    total, boxes = np.zeros((len(stars), 2), np.int64), np.zeros((len(stars), 2, 2), np.int64)
    kernels.sums_inside(bounds[0], bounds[1], masks_of(stars), area, total, boxes)
    low, high = boxes[:, 0], boxes[:, 1]
    extra: dict[str, NDArray[Any]] = {"score": stars.score, "center": stars.center, "distance": stars.distance}
    extra |= {"at_edge": ((low == bounds[0]) | (high == bounds[1])).any(axis=1), "clipped": stars.clipped}
    return ObjectTable(stars.id, stars.label, area, total / area[:, None], low, high, extra)


def painted(stars: Stars, region: Region) -> Ints:
    """Labels of a region: each pixel has the id of the best polygon that holds it."""
    from napari_seamless.postprocess.polygons import kernels

    worst_first = stars.take(stars.by_rank[::-1])
    labels = np.zeros(region.shape, np.int64)
    top, left = region.start
    kernels.paint_over(labels, top, left, masks_of(worst_first), worst_first.id)
    return labels
