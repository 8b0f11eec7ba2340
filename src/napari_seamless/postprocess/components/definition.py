"""What components are, said by scipy on a whole array: what tiles must agree with, bit for bit."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.components.settings import ComponentSettings
from napari_seamless.postprocess.object_table import Ints


def whole_image_labels(settings: ComponentSettings, output: Pixels, shape: Sequence[int]) -> Ints:
    """Dense labels of this shape, ([z,] y, x), of a class map (1, [z,] y, x) that fits into memory."""
    assert output.shape[1:] == tuple(shape), "a class map has a value for each pixel"
    classes = output[0]
    structure = ndimage.generate_binary_structure(classes.ndim, settings.connectivity)
    sought = settings.classes or frozenset(np.unique(classes).tolist()) - {0, settings.boundary}
    labels, count = np.zeros(classes.shape, np.int64), 0
    for value in sorted(sought):
        found, more = ndimage.label(classes == value, structure)
        labels = np.where(found, found + count, labels)
        count += more
    first = np.full(count + 1, classes.size)
    np.minimum.at(first, labels.ravel(), np.arange(labels.size))
    ranks = np.zeros(count + 1, np.int64)
    ranks[1 + np.argsort(first[1:])] = np.arange(1, count + 1)
    labels = ranks[labels]
    return labels if settings.boundary is None else _with_boundary(labels, classes == settings.boundary, settings.reach)


def _with_boundary(labels: Ints, boundary: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], reach: float) -> Ints:
    """Give each boundary pixel to the nearest labelled one, to the first in raster order of equals."""
    grown = labels.copy()
    for pixel in np.argwhere(boundary):
        start = np.maximum(pixel - int(reach), 0)
        near = labels[tuple(slice(low, at + int(reach) + 1) for low, at in zip(start, pixel, strict=True))]
        cores = np.argwhere(near)  # in raster order: argmin takes the first of equals
        far = ((cores + start - pixel) ** 2).sum(1)
        if len(far) and far.min() <= reach**2:
            grown[tuple(pixel)] = near[tuple(cores[far.argmin()])]
    return grown


def example_output(_: ComponentSettings, shape: Sequence[int], seed: int) -> Pixels:
    """A class map such as a network gives: blobs of two classes, their boundary (3) and specks of noise."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random(shape), 1.5)
    core = smooth > np.quantile(smooth, 0.7)
    kinds = 1 + (ndimage.gaussian_filter(random.random(shape), 4) > 0.5)
    boundary = ndimage.binary_dilation(core) & ~core
    classes = np.where(core, kinds, 3 * boundary)
    specks = random.random(shape) < 0.02
    return np.where(specks, random.integers(0, 4, shape), classes).astype(np.uint8)[None]
