"""Parts: what one piece sees of the objects in it, as columns; and how parts become objects."""

# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label as label_values

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Parts:
    """Columns of n parts (or whole objects) in a label image with d axes.

    `value` is the label, `area` and `core` count pixels (`core` without the rim), `first` is the first core pixel, as
    an index of the flattened image. `sums` (n, d) adds up the coordinates of all pixels; `low` and `high` (n, d) are
    the bounding box, half-open. `at_edge`: a pixel has a neighbour, by a face, that was not measured or is outside
    the image. `light` (n, c) adds up the image's channels under the pixels; c is 0 without an image.
    """

    value: Ints
    area: Ints
    core: Ints
    first: Ints
    sums: Ints
    low: Ints
    high: Ints
    at_edge: NDArray[np.bool_]
    light: NDArray[np.float64]

    @classmethod
    def none(cls, ndim: int, channels: int = 0) -> Parts:
        flat, wide = np.zeros(0, np.int64), np.zeros((0, ndim), np.int64)
        return cls(flat, flat, flat, flat, wide, wide, wide, np.zeros(0, bool), np.zeros((0, channels)))

    def __len__(self) -> int:
        return len(self.value)

    def take(self, rows: NDArray[np.generic]) -> Parts:
        """These rows (numbers or bool) as parts of their own."""
        return Parts(*(getattr(self, column.name)[rows] for column in fields(self)))


@dataclass(frozen=True)
class Ground:
    """What lies under a piece: which pixels are at an edge (None: no one is), in an array whose first pixel is at
    `corner`; and the image (c, *of_light.shape)."""

    corner: tuple[int, ...]
    edge: NDArray[np.bool_] | None = None
    light: NDArray[np.generic] | None = None
    of_light: Region | None = None


@dataclass(frozen=True)
class Pixels:
    """Pixels of parts: the part of each (from 1), where it is (one array an axis), whether it is at the edge, and the
    image there (m, c)."""

    part: Ints
    at: tuple[Ints, ...]
    at_edge: NDArray[np.bool_]
    light: NDArray[np.float64]


def numbered(labels: NDArray[np.generic], values: frozenset[int] | None, connectivity: int) -> NDArray[np.integer]:
    """Connected parts of equal label, counted from 1; 0 for label 0 and for labels that are not among `values`."""
    if values is None:
        return np.asarray(label_values(labels, background=0, connectivity=connectivity))
    structure = ndimage.generate_binary_structure(labels.ndim, connectivity)
    numbers = np.zeros(labels.shape, np.int32)
    if len(values) > 4:
        kept = np.where(np.isin(labels, list(values)), labels, labels.dtype.type(0))
        return np.asarray(label_values(kept, background=0, connectivity=connectivity))
    count = 0
    for value in sorted(values):
        mask = labels == value
        found, more = ndimage.label(mask, structure)
        numbers[mask] = found[mask] + count
        count += more
    return numbers


def tally(cores: Pixels, rims: Pixels, values: Ints, shape: Sequence[int]) -> Parts:
    """The parts of a piece. `values` are their labels; `cores` come in raster order; `shape` is the whole image's."""
    count, ndim = len(values), len(shape)
    part = np.concatenate([cores.part, rims.part]) - 1
    at = [np.concatenate([a, b]) for a, b in zip(cores.at, rims.at, strict=True)]
    light = np.concatenate([cores.light, rims.light])
    area = np.bincount(part, minlength=count)
    sums, low, high = (np.zeros((count, ndim), np.int64) for _ in range(3))
    for axis, where in enumerate(at):
        origin = int(where.min(initial=0))
        shifted = np.bincount(part, weights=where - origin, minlength=count)  # exact: far below 2^53
        sums[:, axis] = shifted.astype(np.int64) + origin * area
        low[:, axis] = int(where.max(initial=0))
        np.minimum.at(low[:, axis], part, where)
        np.maximum.at(high[:, axis], part, where + 1)
    first = np.zeros(count, np.int64)
    first[cores.part[::-1] - 1] = np.ravel_multi_index(cores.at, tuple(shape))[::-1]  # the last one written stays
    at_edge = np.zeros(count, bool)
    at_edge[part[np.concatenate([cores.at_edge, rims.at_edge])]] = True
    total = np.zeros((count, light.shape[1]))
    for channel in range(light.shape[1]):
        total[:, channel] = np.bincount(part, weights=light[:, channel], minlength=count)
    core = np.bincount(cores.part - 1, minlength=count)
    return Parts(values, area, core, first, sums, low, high, at_edge, total)


def joined(pieces: Sequence[Parts], pairs: Ints) -> Parts:
    """Whole objects in raster order of their first pixels, as scipy.ndimage.label counts them.

    Row r of all pieces in turn is part r; `pairs` (n, 2) are parts that touch, and belong together where their labels
    are equal.
    """
    everything = Parts(*(np.concatenate([getattr(p, c.name) for p in pieces]) for c in fields(Parts)))
    count = len(everything)
    equal = pairs[everything.value[pairs[:, 0]] == everything.value[pairs[:, 1]]]
    links = coo_array((np.ones(len(equal), np.int8), tuple(equal.T)), shape=(count, count))
    objects, group = connected_components(links, directed=False)
    return _in_raster_order(_merged(everything, np.asarray(group, np.int64), int(objects)))


def _merged(parts: Parts, group: Ints, count: int) -> Parts:
    ndim, channels = parts.sums.shape[1], parts.light.shape[1]
    value, area, core = (np.zeros(count, np.int64) for _ in range(3))
    first = np.full(count, np.iinfo(np.int64).max)
    sums, high = np.zeros((count, ndim), np.int64), np.zeros((count, ndim), np.int64)
    low = np.full((count, ndim), np.iinfo(np.int64).max)
    at_edge, light = np.zeros(count, bool), np.zeros((count, channels))
    value[group] = parts.value
    np.minimum.at(first, group, parts.first)
    np.minimum.at(low, group, parts.low)
    np.maximum.at(high, group, parts.high)
    np.logical_or.at(at_edge, group, parts.at_edge)
    for into, what in ((area, parts.area), (core, parts.core), (sums, parts.sums), (light, parts.light)):
        np.add.at(into, group, what)
    return Parts(value, area, core, first, sums, low, high, at_edge, light)


def _in_raster_order(parts: Parts) -> Parts:
    return parts.take(np.argsort(parts.first, kind="stable"))


def pixels_at(at: tuple[Ints, ...], part: Ints, ground: Ground) -> Pixels:
    """Pixels of parts at global coordinates, and what is known there."""
    flags = np.zeros(len(part), bool)
    if ground.edge is not None:
        flags = ground.edge[tuple(a - c for a, c in zip(at, ground.corner, strict=True))]
    if ground.light is None or ground.of_light is None:
        return Pixels(part, at, flags, np.zeros((len(part), 0)))
    there = tuple(a - c for a, c in zip(at, ground.of_light.start, strict=True))
    light = np.stack([channel[there] for channel in ground.light], 1)
    return Pixels(part, at, flags, light.astype(np.float64))


def check_connectivity(connectivity: int, ndim: int) -> None:
    """Raise BadRequest unless an image of `ndim` axes has such neighbours."""
    if not 1 <= connectivity <= ndim:
        raise BadRequest(
            f"connectivity is 1 (pixels that share a face) to {ndim} (also a corner) for an image with {ndim} axes; "
            f"got {connectivity}"
        )
