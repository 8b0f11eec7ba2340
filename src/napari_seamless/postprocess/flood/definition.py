"""What a flood gives, said pixel by pixel with a queue on a whole array: what tiles must agree with, bit for bit."""

# mypy: allow-untyped-calls

from __future__ import annotations

import heapq
from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from napari_seamless.interfaces import Pixels
from napari_seamless.postprocess.flood.distances import DistanceSettings
from napari_seamless.postprocess.flood.hover import HoverSettings
from napari_seamless.postprocess.flood.maps import FloodMaps
from napari_seamless.postprocess.flood.step import FloodStep
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import Domain, TileOutput


def whole_image_labels(step: FloodStep, output: Pixels, shape: Sequence[int]) -> Ints:
    """Dense labels (y, x) of this shape, of an output (c, y, x) that fits into memory."""
    domain = Domain.whole(tuple(shape))
    numbers = tuple(barrier.of(output, domain) for barrier in step.barriers)
    maps = step.maps(TileOutput(domain, domain.tile(domain.region, 0), output, numbers))
    return flooded(maps, step.touch)


def flooded(maps: FloodMaps, touch: int) -> Ints:
    """Labels (y, x), by the places of markers: pixels are taken by rising (level, steps, place)."""
    height, width = maps.height.shape
    labels, _ = ndimage.label(maps.markers, ndimage.generate_binary_structure(2, touch))
    labels = labels.astype(np.int64)
    queue = [(float(maps.height[y, x]), 0, y, x) for y, x in np.argwhere(maps.markers).tolist()]
    heapq.heapify(queue)
    while queue:
        level, steps, y, x = heapq.heappop(queue)
        for other in ((y - 1, x), (y, x - 1), (y, x + 1), (y + 1, x)):
            inside = 0 <= other[0] < height and 0 <= other[1] < width
            if inside and maps.foreground[other] and not labels[other]:
                labels[other] = labels[y, x]
                higher = max(level, float(maps.height[other]))
                heapq.heappush(queue, (higher, steps + 1 if higher == level else 0, *other))
    return np.asarray(labels, np.int64)


def example_distances(settings: DistanceSettings, shape: Sequence[int], seed: int) -> Pixels:
    """Probability and distances such as a network gives: blobs that touch, with noise, and equal values."""
    random = np.random.default_rng(seed)
    blobs = _blobs(random, shape, 5)
    depth = ndimage.distance_transform_edt(blobs > 0)
    far = 1 - depth / 5 + 0.1 * ndimage.gaussian_filter(random.normal(size=shape), 1)
    far = np.where(random.random(shape) < 0.5, far.round(1), far).clip(0, 1)
    probability = 1 / (1 + np.exp(-ndimage.gaussian_filter(random.normal(size=shape), 2) * 4 - 3 * (blobs > 0) + 2))
    distances = [far] if settings.center is None else [np.sqrt(far), far]
    if settings.highest_inside:
        distances = [1 - distance for distance in distances]
    return np.stack([probability, *distances, *random.random((settings.classes, *shape))]).astype(np.float32)


def example_hover(settings: HoverSettings, shape: Sequence[int], seed: int) -> Pixels:
    """Probability and places such as a network gives: blobs that touch, with noise."""
    random = np.random.default_rng(seed)
    blobs = _blobs(random, shape, 8)
    places = np.zeros((2, *shape))
    for number, box in enumerate(ndimage.find_objects(blobs), 1):
        if box is not None:
            y, x = np.nonzero(blobs[box] == number)
            for channel, at in enumerate((x, y)):
                places[channel][box][y, x] = (at - at.mean()) / max(np.abs(at - at.mean()).max(), 1)
    places += 0.2 * ndimage.gaussian_filter(random.normal(size=places.shape), (0, 1, 1))
    probability = ((blobs > 0) * 0.8 + 0.3 * ndimage.gaussian_filter(random.normal(size=shape), 1)).clip(0, 1)
    return np.stack([probability, *places, *random.random((settings.types, *shape))]).astype(np.float32)


def _blobs(random: np.random.Generator, shape: Sequence[int], radius: int) -> Ints:
    """Numbers of discs of this radius, many of which touch, 0 between them."""
    count = max(1, shape[0] * shape[1] // (5 * radius**2))
    seeds = np.zeros(shape, np.int64)
    seeds[tuple(random.integers(0, n, count) for n in shape)] = np.arange(1, count + 1)
    far, nearest = ndimage.distance_transform_edt(seeds == 0, return_indices=True)
    return np.where(far < radius, seeds[tuple(nearest)], 0)
