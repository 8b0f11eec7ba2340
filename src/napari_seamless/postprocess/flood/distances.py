"""Maps of distances, to the centre and to the boundary of objects."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.flood.maps import Floats, FloodMaps, checked, counted, likeliest, without_small
from napari_seamless.postprocess.step import TileOutput

LARGEST_SMOOTHING = 16.0
LARGEST_SMALLEST = 256
TRUNCATED_AT = 3.0
"""Standard deviations at which smoothing ends."""


@dataclass(frozen=True)
class DistanceSettings:
    """How objects are read from a probability and maps of distances, as torch-em's networks give them.

    Channels are the probability that a pixel is of an object, the distance to its centre (unless `center` is None) and
    to its boundary, 0 deep inside and 1 at the boundary and beyond; `highest_inside`: the other way round. Then the
    scores of `classes` classes, if any.

    A pixel is of an object where the probability is above `foreground`. It is a marker where both distances, smoothed
    by a Gaussian (`smoothing` pixels), are below `center` and `boundary` (for `highest_inside`, above), and the marker
    has at least `smallest` pixels. Markers touch by sides (`connectivity` 1) or also by corners (2). Objects grow from
    them by rising distance to the boundary. Raises BadRequest.
    """

    foreground: float = 0.5
    center: float | None = 0.5
    boundary: float = 0.5
    smoothing: float = 1.6
    smallest: int = 0
    highest_inside: bool = False
    connectivity: int = 1
    classes: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.foreground < 1:
            raise BadRequest(f"the probability of an object is at least 0 and less than 1; got {self.foreground:g}")
        for name, distance in (("centre", self.center), ("boundary", self.boundary)):
            if distance is not None and not 0 < distance < 1:
                raise BadRequest(f"the distance to the {name} is more than 0 and less than 1; got {distance:g}")
        if not 0 <= self.smoothing <= LARGEST_SMOOTHING:
            raise BadRequest(f"smoothing is 0 to {LARGEST_SMOOTHING:g} pixels; got {self.smoothing:g}")
        if not 0 <= self.smallest <= LARGEST_SMALLEST:
            raise BadRequest(f"the smallest marker has 0 to {LARGEST_SMALLEST} pixels; got {self.smallest}")
        if self.connectivity not in (1, 2):
            raise BadRequest(f"markers touch by sides (1) or also by corners (2); got {self.connectivity}")
        if self.classes < 0:
            raise BadRequest(f"there are 0 or more classes; got {self.classes}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels."""
        center = () if self.center is None else ("distance to the centre",)
        return ("probability", *center, "distance to the boundary", *(f"class {n + 1}" for n in range(self.classes)))

    @property
    def reach(self) -> int:
        """How many pixels away lies what a pixel of the maps depends on."""
        return int(TRUNCATED_AT * self.smoothing + 0.5) + self.smallest


def distance_maps(given: TileOutput, settings: DistanceSettings) -> FloodMaps:
    """What is flooded around a tile. Background and what is outside count as far from any object."""
    values = checked(given, settings.names, "distance maps")
    foreground = counted(given) & (values[0] > settings.foreground)
    markers = foreground
    limits = [settings.boundary] if settings.center is None else [settings.center, settings.boundary]
    for channel, limit in zip(values[1:], limits, strict=False):
        depth = _smoothed(np.where(foreground, _depth(channel, settings.highest_inside), np.float32(0)), settings)
        markers = markers & (depth > (limit if settings.highest_inside else np.float32(1) - np.float32(limit)))
    markers = without_small(markers, settings.smallest, settings.connectivity)
    classes = likeliest(values[1 + len(limits) :]) + np.uint8(settings.classes > 0)
    return FloodMaps(foreground, markers, -depth, values[0], classes, settings.classes)


def _depth(distance: Floats, highest_inside: bool) -> Floats:
    return distance if highest_inside else np.float32(1) - distance


def _smoothed(depth: Floats, settings: DistanceSettings) -> Floats:
    from napari_seamless.postprocess.flood import filters

    if not settings.smoothing:
        return depth
    weights, smooth = gaussian_weights(settings.smoothing), np.empty_like(depth)
    filters.correlate(depth, weights, weights, smooth)
    return smooth


@lru_cache(maxsize=8)
def gaussian_weights(sigma: float) -> Floats:
    """Weights (n,) of a Gaussian that ends after `TRUNCATED_AT` standard deviations, adding up to 1."""
    radius = int(TRUNCATED_AT * sigma + 0.5)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    return np.asarray(weights / weights.sum(), np.float32)
