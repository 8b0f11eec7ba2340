"""What objects of flows are, said by numpy and scipy on a whole image: what tiles must agree with, bit for bit."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.flows.settings import FlowSettings
from napari_seamless.postprocess.object_table import Ints

Reals = NDArray[np.float64]


def whole_image_labels(settings: FlowSettings, output: Pixels, shape: Sequence[int]) -> Ints:
    """Dense labels (y, x) of this shape, of an output (c, y, x) that fits into memory."""
    is_cell = output[2] > settings.threshold
    flow = np.where(is_cell, output[:2].astype(np.float32) / np.float32(5), 0)
    step = flow.clip(-settings.largest_step, settings.largest_step)
    start = np.argwhere(is_cell)
    end, is_lost = _ends(settings, step, start)
    peak = np.full(len(start), -1)
    peak[~is_lost] = _peaks(end[~is_lost], output.shape[1:])
    labels, holes = np.zeros(tuple(shape), np.int64), np.zeros(tuple(shape), np.int64)
    count = 0
    for key in np.unique(peak[peak >= 0]):
        own = np.zeros(labels.shape, bool)
        own[tuple(start[peak == key].T)] = True
        if own.sum() < settings.smallest or _error(settings, own, flow) > (settings.flow_error or np.inf):
            continue
        count += 1
        labels[own] = count
        holes[ndimage.binary_fill_holes(own) & ~own & (holes == 0)] = count
    return np.where(labels, labels, holes)


def _ends(settings: FlowSettings, step: NDArray[np.float32], start: Ints) -> tuple[Ints, NDArray[np.bool_]]:
    """Pixels (n, 2) where particles end, and which are lost."""
    high = np.array(step.shape[1:]) - 1
    corners = np.moveaxis(np.pad(step, ((0, 0), (0, 1), (0, 1))), 0, -1)
    place, part = start.copy(), np.zeros(start.shape)
    is_lost = np.zeros(len(start), bool)
    for _ in range(settings.steps):
        (y, x), (v, u) = place.T, part.T[:, :, None]
        moved = corners[y, x] * (1 - v) * (1 - u) + corners[y, x + 1] * (1 - v) * u
        moved = moved + corners[y + 1, x] * v * (1 - u) + corners[y + 1, x + 1] * v * u
        to = part + moved
        pixel = place + np.floor(to).astype(np.int64)
        to = to - np.floor(to)
        pixel, to = pixel + (to >= 1), np.where(to >= 1, 0, to)
        to = np.where((pixel < 0) | (pixel >= high), 0, to)
        pixel = pixel.clip(0, high)
        place, part = np.where(is_lost[:, None], place, pixel), np.where(is_lost[:, None], part, to)
        is_lost |= (np.abs(place - start) > settings.reach).any(axis=1)
    return place, is_lost


def _peaks(end: Ints, shape: Sequence[int]) -> Ints:
    """The peak that each particle belongs to, as an index of the flattened image; -1 for none."""
    ends = np.zeros(tuple(shape), np.int64)
    np.add.at(ends, tuple(end.T), 1)
    found = np.flatnonzero((ends > 10) & (ends == ndimage.maximum_filter(ends, 5, mode="constant")))
    owner = np.full(ends.shape, -1)
    for key in sorted(found, key=lambda key: (ends.ravel()[key], -key)):
        grown = np.zeros(ends.shape, bool)
        grown.ravel()[key] = True
        owner[ndimage.binary_dilation(grown, np.ones((3, 3)), iterations=5, mask=ends > 2)] = key
    return np.asarray(owner[tuple(end.T)])


def _error(settings: FlowSettings, own: NDArray[np.bool_], flow: NDArray[np.float32]) -> float:
    """The mean squared difference of an object's flow and that of heat which spreads in it from its middle."""
    if settings.flow_error is None:
        return 0.0
    at = np.argwhere(own)
    middle = at[((at - at.mean(axis=0)) ** 2).sum(axis=1).argmin()]
    low, high = at.min(axis=0), at.max(axis=0) + 1
    inside = np.pad(own[low[0] : high[0], low[1] : high[1]], 1)
    heat = np.zeros(inside.shape)
    for _ in range(2 * sum(inside.shape)):
        heat[tuple(middle - low + 1)] += 1
        heat = np.where(inside, ndimage.uniform_filter(heat, 3, mode="constant"), 0)
    expected = np.stack(np.gradient(heat))[:, inside]
    expected /= 1e-60 + np.sqrt((expected**2).sum(axis=0))
    return float(((expected - flow[:, own]) ** 2).sum(axis=0).mean())


def example_output(settings: FlowSettings, shape: Sequence[int], seed: int) -> Pixels:
    """Flows such as a network gives: towards the middles of blobs, with noise, some far too long, and equal counts."""
    random = np.random.default_rng(seed)
    smooth = ndimage.gaussian_filter(random.random(shape), 3)
    spread = np.ptp(smooth) or 1
    flow = np.stack([ndimage.sobel(smooth, axis) for axis in (0, 1)])
    flow *= 4 / (np.abs(flow).max() or 1)
    flow = flow * 2 + random.normal(0, 0.5, flow.shape)
    flow = np.where(random.random(flow.shape) < 0.01, 100 * random.normal(size=flow.shape), flow)
    logit = (smooth - np.quantile(smooth, 0.4)) * 10 / spread
    logit = np.where(random.random(shape) < 0.05, -logit, logit) + settings.threshold
    return np.concatenate([flow, logit[None], random.random((settings.classes, *shape))]).astype(np.float32)
