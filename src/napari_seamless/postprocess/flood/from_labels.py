"""What a network that makes no mistakes gives for labels, as the kinds of networks learn it."""

# mypy: allow-untyped-calls

from __future__ import annotations

import numpy as np
from scipy import ndimage

from napari_seamless.postprocess.flood.maps import Floats
from napari_seamless.postprocess.object_table import Ints


def perfect_distances(labels: Ints) -> Floats:
    """Probability, distance to the centre and to the boundary, (3, y, x), of labels (y, x), 0 for background.

    The centre is the deepest pixel, the first in raster order. Both distances are parts of the largest one in their
    object, the one to the boundary subtracted from 1; both are 1 in the background.
    """
    center, boundary = np.ones(labels.shape), np.ones(labels.shape)
    for number, box in _boxes(labels):
        mask = labels[box] == number
        depth = ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
        y, x = np.nonzero(mask)
        middle = depth[y, x].argmax()
        away = np.hypot(y - y[middle], x - x[middle])
        boundary[box][y, x] = 1 - depth[y, x] / depth.max()
        center[box][y, x] = away / max(away.max(), 1)
    return np.stack([labels > 0, center, boundary]).astype(np.float32)


def perfect_places(labels: Ints) -> Floats:
    """Probability, horizontal and vertical places, (3, y, x), of labels (y, x), 0 for background.

    Places are counted from the centre of mass, from -1 at the first to 1 at the last pixel of the object; 0 in the
    background.
    """
    maps = np.zeros((3, *labels.shape), np.float32)
    maps[0] = labels > 0
    for number, box in _boxes(labels):
        y, x = np.nonzero(labels[box] == number)
        for channel, at in ((1, x), (2, y)):
            far = at - at.mean()
            maps[channel][box][y, x] = np.where(far < 0, far / max(-far.min(), 1), far / max(far.max(), 1))
    return maps


def _boxes(labels: Ints) -> list[tuple[int, tuple[slice, ...]]]:
    return [(n, box) for n, box in enumerate(ndimage.find_objects(labels), 1) if box is not None]
