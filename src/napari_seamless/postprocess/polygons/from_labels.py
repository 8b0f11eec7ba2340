"""The output that a perfect network would give for a label image: what networks are trained on."""

# mypy: allow-untyped-calls

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import relabel_sequential

from napari_seamless.errors import BadRequest


def perfect_output(labels: NDArray[np.integer], rays: int = 32, grid: int = 2) -> NDArray[np.float32]:
    """Probability and rays, (1 + rays, y / grid, x / grid), rounded up, of labels (y, x), of which 0 is background.

    The probability is a pixel's distance from the edge of its object, over the largest one in the object, as if objects
    went on beyond the image; it is 1 where the whole image is one object. A ray ends where it first leaves the object's
    pixels or the image. Both are 0 in background. Raises BadRequest for arrays that are no labels.
    """
    from napari_seamless.postprocess.polygons import kernels

    if labels.ndim != 2 or labels.dtype.kind not in "iu" or labels.min(initial=0) < 0:
        raise BadRequest(
            f"labels are whole numbers from 0 with axes (y, x); got {labels.dtype} from {labels.min(initial=0)} with "
            f"{labels.ndim} axes"
        )
    cells = (slice(None, None, grid),) * 2
    numbers = np.ascontiguousarray(labels, np.int64)
    angles = np.arange(rays) * (2 * np.pi / rays)
    output = np.zeros((1 + rays, *numbers[cells].shape), np.float32)
    output[0] = _depth(numbers)[cells]
    kernels.measure_rays(numbers, grid, np.sin(angles), np.cos(angles), output[1:])
    return output


def _depth(labels: NDArray[np.int64]) -> NDArray[np.float32]:
    """Distance from the edge over the largest in the object (y, x)."""
    depth = np.zeros(labels.shape, np.float32)
    dense, _, _ = relabel_sequential(labels)
    for number, box in enumerate(ndimage.find_objects(dense), 1):
        around = tuple(slice(max(span.start - 1, 0), span.stop + 1) for span in box)
        mask = dense[around] == number
        far = np.ones(mask.shape) if mask.all() else ndimage.distance_transform_edt(mask)
        depth[around][mask] = far[mask] / far.max()
    return depth
