"""What is flooded: pixels of objects, markers and heights, made of a network's output around a tile."""

# mypy: allow-untyped-calls

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.errors import BadRequest
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import TileOutput

Bools = NDArray[np.bool_]
Floats = NDArray[np.float32]

SCORE_PARTS = 65536
"""A probability is counted in such parts, so that sums of it do not depend on their order."""


@dataclass(frozen=True, eq=False)
class FloodMaps:
    """Arrays (y, x) of equal shape.

    `foreground` are pixels of objects, `markers` those from which objects are flooded (all of them foreground),
    `height` float32 the order in which others are: the lowest first. `probability`, float32, is averaged over an object
    to its score. `classes` (uint8, from 1; 0 is none) are counted over an object, if there are `class_count` of them.
    """

    foreground: Bools
    markers: Bools
    height: Floats
    probability: Floats
    classes: NDArray[np.uint8]
    class_count: int

    def cut(self, slices: tuple[slice, ...]) -> FloodMaps:
        """A part of them."""
        arrays = (self.foreground, self.markers, self.height, self.probability, self.classes)
        foreground, markers, height, probability, classes = (a[slices] for a in arrays)
        return FloodMaps(foreground, markers, height, probability, classes, self.class_count)  # type: ignore[arg-type]

    def votes_at(self, y: Ints, x: Ints) -> Ints:
        """What pixels add to their object, (n, 1 + class_count): parts of the probability, and 1 for their class."""
        parts = np.rint(self.probability[y, x].clip(0, 1) * SCORE_PARTS).astype(np.int64)
        of_class = self.classes[y, x][:, None] == np.arange(1, self.class_count + 1)
        return np.concatenate([parts[:, None], of_class], 1)


def checked(given: TileOutput, names: tuple[str, ...], kind: str) -> Floats:
    """A tile's output, float32, 0 where the mask leaves pixels out. Raises BadRequest where it has not these channels,
    or no numbers."""
    pixels = given.pixels
    if len(pixels) != len(names):
        raise BadRequest(
            f"{kind} are {len(names)} channels of output ({', '.join(names)}); got {len(pixels)}; choose the method "
            "of the network, or settings with as many"
        )
    values = pixels.astype(np.float32)
    if not np.isfinite(values).all():
        raise BadRequest(f"a network for {kind} gives numbers; got NaN or infinity; check its weights and its input")
    return values if given.mask is None else np.where(given.mask, values, np.float32(0))


def counted(given: TileOutput) -> Bools:
    """Which pixels around a tile count."""
    return np.ones(given.tile.read.shape, bool) if given.mask is None else given.mask


def likeliest(scores: Floats) -> NDArray[np.uint8]:
    """The class of each pixel from 0, of scores (c, y, x): the first of the highest. All 0 for c = 0."""
    if not len(scores):
        return np.zeros(scores.shape[1:], np.uint8)
    return np.asarray(scores.argmax(axis=0), np.uint8)


def without_small(mask: Bools, smallest: int, connectivity: int = 1) -> Bools:
    """Pixels in components of at least `smallest` pixels. What is decided depends on pixels less than `smallest` away:
    a component that goes on there is large enough."""
    from napari_seamless.postprocess.flood import filters

    if smallest < 2:
        return mask
    kept = mask.copy()
    filters.drop_small(kept, smallest, connectivity > 1)
    return kept


def label(mask: Bools, connectivity: int) -> tuple[NDArray[np.int32], int]:
    """Components from 1, and how many there are."""
    structure = ndimage.generate_binary_structure(2, connectivity)
    numbers, count = ndimage.label(mask, structure)
    return np.asarray(numbers, np.int32), count
