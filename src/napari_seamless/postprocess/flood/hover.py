"""Maps of horizontal and vertical places within nuclei (HoVer-Net, Graham et al. 2019).

In a nucleus the maps rise from -1 at one side to 1 at the other, so they fall steeply where two nuclei touch. The
slope of each is brought to 0 ... 1, the steepest fall to 0; a pixel is a marker where neither falls much, and nuclei
grow from markers by rising steepness.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.flood.maps import (
    Bools,
    Floats,
    FloodMaps,
    checked,
    counted,
    label,
    likeliest,
    without_small,
)
from napari_seamless.postprocess.step import TileOutput

SLOPE_REACH = 10
"""Pixels to each side over which a slope is taken: 21 in all."""
OPENED = 2
"""Radius, in pixels, of what must fit into a marker."""
LARGEST_SIZE = 256
SMALLEST_SPAN = 1e-30
"""Of slopes: an image without any is all flat."""


@dataclass(frozen=True)
class HoverSettings:
    """How nuclei are read from a probability and maps of horizontal and vertical places.

    Channels are the probability of a nucleus, the horizontal and the vertical map, and the scores of `types` types, if
    any, of which the first is none. A pixel is of a nucleus where the probability is at least `probability`, in a
    component of at least `smallest` pixels; it is a marker where the edge strength is less than `marker`, once holes of
    at most `largest_hole` pixels along each axis are filled, what is thinner than 5 pixels is taken away, and the
    marker still has `smallest` pixels. `slopes` are the steepest fall and rise of the maps, in 1 per pixel, between
    which the edge strength goes from 1 to 0; None: those of all pixels of nuclei of the image. Raises BadRequest.
    """

    probability: float = 0.5
    marker: float = 0.4
    slopes: tuple[float, float] | None = None
    smallest: int = 10
    largest_hole: int = 16
    types: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.probability < 1:
            raise BadRequest(f"the probability of a nucleus is more than 0 and less than 1; got {self.probability:g}")
        if not 0 < self.marker < 1:
            raise BadRequest(f"the edge strength of a marker is more than 0 and less than 1; got {self.marker:g}")
        if self.slopes is not None and not self.slopes[0] < 0 < self.slopes[1]:
            raise BadRequest(f"slopes are that of a fall, below 0, and of a rise, above 0; got {self.slopes}")
        for name, pixels in (("smallest nucleus has", self.smallest), ("largest hole is", self.largest_hole)):
            if not 0 <= pixels <= LARGEST_SIZE:
                raise BadRequest(f"the {name} 0 to {LARGEST_SIZE} pixels; got {pixels}")
        if self.types < 0 or self.types == 1:
            raise BadRequest(f"there are 2 or more types (the first is none), or 0; got {self.types}")

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels."""
        return ("probability", "horizontal map", "vertical map", *(f"type {n}" for n in range(self.types)))

    @property
    def reach(self) -> int:
        """How many pixels away lies what a pixel of the maps depends on."""
        of_edges = max(SLOPE_REACH, self.smallest) + 1
        return of_edges + self.largest_hole + 2 * OPENED + self.smallest


@dataclass(frozen=True)
class NucleusSlopes:
    """A `DerivedMap`: the slopes of the horizontal and the vertical map at pixels of nuclei."""

    settings: HoverSettings

    @property
    def halo(self) -> int:
        return max(SLOPE_REACH, self.settings.smallest)

    def __call__(self, given: TileOutput) -> Floats:
        values = checked(given, self.settings.names, "HoVer-Net maps")
        nuclei = _nuclei(given, values[0], self.settings)
        own = given.tile.write.slices(given.tile.read.start)
        return np.stack([slope[own][nuclei[own]] for slope in slopes_of(values[1:3])])


def hover_maps(given: TileOutput, settings: HoverSettings) -> FloodMaps:
    """What is flooded around a tile. Nothing is outside."""
    values = checked(given, settings.names, "HoVer-Net maps")
    nuclei = _nuclei(given, values[0], settings)
    ranges = settings.slopes * 2 if settings.slopes is not None else given.numbers
    flat = np.minimum(
        *(
            _brought_to_one(slope, low, high)
            for slope, (low, high) in zip(slopes_of(values[1:3]), (ranges[:2], ranges[2:]), strict=True)
        )
    )
    markers = nuclei & (np.float32(1) - flat < np.float32(settings.marker))
    markers = opened(with_filled_holes(markers, settings.largest_hole))
    markers = without_small(markers, settings.smallest) & nuclei
    flat[~nuclei] = 0
    types = likeliest(values[3:])
    return FloodMaps(nuclei, markers, -_blurred(flat), values[0], types, max(0, settings.types - 1))


def _nuclei(given: TileOutput, probability: Floats, settings: HoverSettings) -> Bools:
    return without_small(counted(given) & (probability >= settings.probability), settings.smallest)


def _brought_to_one(slope: Floats, low: float, high: float) -> Floats:
    """0 at the steepest fall, 1 at the steepest rise."""
    span = np.float32(max(high - low, SMALLEST_SPAN))
    return np.asarray(((slope - np.float32(low)) / span).clip(0, 1), np.float32)


def slopes_of(maps: Floats) -> tuple[Floats, Floats]:
    """How steeply the horizontal map (2, y, x) rises along x and the vertical one along y, in 1 per pixel: Sobel's
    operator of 21 pixels, of which outside pixels are 0."""
    smooth, rise = sobel_weights()
    along_x, along_y = np.empty_like(maps[0]), np.empty_like(maps[1])
    from napari_seamless.postprocess.flood import filters

    filters.correlate(maps[0], smooth, rise, along_x)
    filters.correlate(maps[1], rise, smooth, along_y)
    return along_x, along_y


@lru_cache(maxsize=1)
def sobel_weights() -> tuple[Floats, Floats]:
    """Weights (21,) that smooth, adding up to 1, and that tell the slope; exact in float32."""
    smooth, pair = np.ones(1), np.array([1.0, 1.0])
    for _ in range(2 * SLOPE_REACH - 1):
        smooth = np.convolve(smooth, pair)
    rise = np.convolve(smooth, [-1.0, 1.0]) / 2 ** (2 * SLOPE_REACH - 1)
    smooth = np.convolve(smooth, pair) / 2 ** (2 * SLOPE_REACH)
    return smooth.astype(np.float32), rise.astype(np.float32)


def _blurred(flat: Floats) -> Floats:
    """A mean of 3 x 3 pixels, weighted 1, 2, 1 along each axis."""
    padded = np.pad(flat, 1)
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / np.float32(16), np.float32)


def with_filled_holes(mask: Bools, largest: int) -> Bools:
    """With what is enclosed by sides, if its box has at most `largest` pixels along each axis."""
    if not largest:
        return mask
    numbers, _ = label(~mask, 1)
    filled = mask.copy()
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        touches = any(s.start == 0 or s.stop == n for s, n in zip(box, mask.shape, strict=True))
        if not touches and max(s.stop - s.start for s in box) <= largest:
            filled[box] |= numbers[box] == number
    return filled


def opened(mask: Bools) -> Bools:
    """What a disc of 5 pixels covers that fits into the mask: rows of 1, 5, 5, 5 and 1 pixels."""
    return _hit(~_hit(~mask, 1), 0)


def _hit(mask: Bools, outside: int) -> Bools:
    """Pixels to which the disc around some pixel of the mask reaches."""
    padded = np.pad(mask, OPENED, constant_values=bool(outside))
    wide = _any_of(_any_of(padded[1:-1], 1, 2 * OPENED + 1), 0, 3)
    tall = _any_of(padded, 0, 2 * OPENED + 1)[:, OPENED:-OPENED]
    return np.asarray(wide | tall)


def _any_of(mask: Bools, axis: int, length: int) -> Bools:
    """Whether any of `length` neighbours along an axis is set."""
    lines = np.moveaxis(mask, axis, 0)
    count = len(lines) - length + 1
    found = lines[:count].copy()
    for offset in range(1, length):
        found |= lines[offset : offset + count]
    return np.moveaxis(found, 0, axis)
