"""What polygons are objects, said by scikit-image on a whole array: what tiles must agree with, bit for bit."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from skimage.draw import polygon

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.polygons.settings import PolygonSettings


def whole_image_labels(settings: PolygonSettings, output: Pixels, shape: Sequence[int]) -> Ints:
    """Dense labels (y, x) of this shape, of an output (c, y, x) that fits into memory."""
    height, width = output.shape[1:]
    border = settings.border
    inner = np.zeros((height, width), bool)
    inner[border : height - border, border : width - border] = True
    cells = np.argwhere(inner & (output[0] > settings.probability))
    scores = np.array([output[0, y, x] for y, x in cells])
    kept: list[tuple[int, set[tuple[int, int]]]] = []
    for number in np.argsort(-scores, kind="stable"):
        y, x = cells[number]
        pixels = _pixels_of(settings, output[:, y, x], (int(y) * settings.grid, int(x) * settings.grid))
        if all(len(pixels & other) <= settings.overlap * min(len(pixels), len(other)) for _, other in kept):
            kept.append((int(y * width + x), pixels))
    numbers = {cell: number for number, cell in enumerate(sorted(cell for cell, _ in kept), 1)}
    labels = np.zeros(tuple(shape), np.int64)
    for cell, pixels in reversed(kept):
        inside = [(y, x) for y, x in pixels if 0 <= y < shape[0] and 0 <= x < shape[1]]
        labels[tuple(np.array(inside).T)] = numbers[cell]
    return labels


def _pixels_of(settings: PolygonSettings, values: Pixels, centre: tuple[int, int]) -> set[tuple[int, int]]:
    rays = np.clip(values[1 : 1 + settings.rays], np.float32(1e-3), np.float32(settings.largest_radius))
    angles = np.arange(settings.rays) * (2 * np.pi / settings.rays)
    origin = settings.largest_radius
    ys, xs = polygon(*(origin + np.rint(rays * (65536 * turn(angles))) / 65536 for turn in (np.sin, np.cos)))
    return set(zip((ys - origin + centre[0]).tolist(), (xs - origin + centre[1]).tolist(), strict=True))


def example_output(settings: PolygonSettings, shape: Sequence[int], seed: int) -> Pixels:
    """Probabilities and rays such as a network gives: blobs, with noise, equal scores, and rays that are too long."""
    random = np.random.default_rng(seed)
    cells = tuple(-(-n // settings.grid) for n in shape)
    smooth = ndimage.gaussian_filter(random.random(cells), 1.5)
    probability = np.clip(0.5 + (smooth - np.quantile(smooth, 0.8)) * 4, 0, 1)
    probability = np.where(random.random(cells) < 0.2, probability.round(1), probability)
    size = random.uniform(0.2, 0.7, cells) * settings.largest_radius
    rays = size * random.uniform(0.6, 1.3, (settings.rays, *cells))
    rays = np.where(random.random(rays.shape) < 0.002, 1000, rays)
    return np.concatenate([probability[None], rays, random.random((settings.classes, *cells))]).astype(np.float32)
