"""Where there is tissue on a slide: the coloured part of it, found at a coarse level.

Glass is grey, stain is not: Otsu's threshold on the colours' saturation tells them apart. Where an image has no colours
its brightness is taken instead, and tissue is what differs from the most common brightness.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray
from skimage.filters import threshold_otsu
from skimage.morphology import remove_small_holes, remove_small_objects

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.opener import open_image
from napari_seamless.io.readers.thumbnail import thumbnail

EDGE = 1024
SMALLEST_OBJECT = 0.0005
PLAIN = 0.04
BINS = 256


def tissue_mask(
    image: object, *, threshold: float | None = None, adjust: float = 1.0, smallest: float = SMALLEST_OBJECT
) -> NDArray[np.bool_]:
    """Tissue as True, for anything that `open_image` opens: a (y, x) array over the whole image.

    Its longer side has at most 1024 pixels.

    `threshold` is a saturation (0 to 1) above which a pixel is tissue; without it Otsu's is used, times `adjust` (less
    than 1 finds more tissue). Objects, and holes in them, smaller than the share `smallest` of the image are removed.
    An image whose saturation (or brightness) hardly varies is all tissue: it has no background to leave out. Of a
    volume the middle plane is taken. Any thread. Raises BadRequest for parameters that cannot be, and what reading
    raises.
    """
    _require(threshold, adjust, smallest)
    source = open_image(image)
    try:
        seen = saturation(thumbnail(source, EDGE))
    finally:
        if source is not image:
            source.close()
    if threshold is None and float(np.ptp(seen)) < PLAIN:
        return np.ones(seen.shape, bool)
    found = seen > (otsu(seen) * adjust if threshold is None else threshold)
    return without_small(found, round(smallest * prod(found.shape)))


def _require(threshold: float | None, adjust: float, smallest: float) -> None:
    if threshold is not None and not 0 <= threshold <= 1:
        raise BadRequest(f"a threshold of saturation lies between 0 and 1; got {threshold}; leave it out for Otsu's")
    if not adjust > 0:
        raise BadRequest(f"a threshold can only be adjusted by a factor above 0; got {adjust}; 1 leaves it as it is")
    if not 0 <= smallest < 1:
        raise BadRequest(f"the smallest object is a share of the image, from 0 to below 1; got {smallest}")


def saturation(pixels: Pixels) -> NDArray[np.float32]:
    """How coloured each pixel of (c, y, x) is, from 0 to 1, as (y, x)."""
    values = pixels.astype(np.float32)
    if len(values) == 3:
        most, least = values.max(axis=0), values.min(axis=0)
        coloured: NDArray[np.float32] = np.divide(most - least, most, out=np.zeros_like(most), where=most > 0)
        return coloured
    grey = values.mean(axis=0)
    spread = float(np.ptp(grey)) or 1.0
    counts, edges = np.histogram(grey, BINS)
    common = edges[counts.argmax()] + (edges[1] - edges[0]) / 2
    different: NDArray[np.float32] = np.abs(grey - common) / spread
    return different


def otsu(values: NDArray[np.float32]) -> float:
    """The threshold that splits values into two groups with the least variance within them.

    scikit-image gives the middle of a bin; all of that bin belongs to the lower group.
    """
    return float(threshold_otsu(values, nbins=BINS)) + float(np.ptp(values)) / BINS / 2


def without_small(found: NDArray[np.bool_], smallest: int) -> NDArray[np.bool_]:
    """Without objects, and then without holes, of fewer than `smallest` pixels, which touch along edges."""
    if smallest <= 1:
        return found
    objects = remove_small_objects(found, max_size=smallest - 1, connectivity=1)
    filled: NDArray[np.bool_] = remove_small_holes(objects, max_size=smallest - 1, connectivity=1)
    return filled
