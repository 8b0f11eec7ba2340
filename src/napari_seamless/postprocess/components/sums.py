"""Sums over the pixels of components, from which the rows of objects are made; two of one object add up to its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.object_table import Ints, ObjectTable

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True, eq=False)
class ComponentSums:
    """Columns of n components in an image with d axes.

    `label` is the class, `area` and `core` count pixels (`core` without those of the boundary class), `first` is the
    first core pixel, as an index of the flattened image. `coordinates` (n, d) adds up those of all pixels; `low` and
    `high` (n, d) are the bounding box, half-open. `at_edge`: a pixel has a neighbour, by a face, that was not looked at
    or is outside the image. `intensity` (n, c) adds up the image's channels; c is 0 without an image.
    """

    label: Ints
    area: Ints
    core: Ints
    first: Ints
    coordinates: Ints
    low: Ints
    high: Ints
    at_edge: NDArray[np.bool_]
    intensity: NDArray[np.float64]

    @classmethod
    def empty(cls, ndim: int, channels: int = 0) -> ComponentSums:
        flat, wide = np.zeros(0, np.int64), np.zeros((0, ndim), np.int64)
        return cls(flat, flat, flat, flat, wide, wide, wide, np.zeros(0, bool), np.zeros((0, channels)))

    @classmethod
    def of(cls, columns: dict[str, NDArray[Any]]) -> ComponentSums:
        return cls(**{column.name: columns[column.name] for column in fields(cls)})

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return {column.name: getattr(self, column.name) for column in fields(self)}

    def __len__(self) -> int:
        return len(self.label)

    def take(self, rows: NDArray[np.generic]) -> ComponentSums:
        """These rows (numbers or bool)."""
        return ComponentSums(*(column[rows] for column in self.columns.values()))

    def __add__(self, other: ComponentSums) -> ComponentSums:
        """The rows of both. One without rows need not have as many channels."""
        if not len(self) or not len(other):
            return self if len(self) else other
        return ComponentSums(
            *(np.concatenate(pair) for pair in zip(self.columns.values(), other.columns.values(), strict=True))
        )

    def merged(self, group: Ints, count: int) -> ComponentSums:
        """One row for each of `count` groups; `group` says in which each row is."""
        ndim, channels = self.low.shape[1], self.intensity.shape[1]
        label, area, core = (np.zeros(count, np.int64) for _ in range(3))
        first, low = np.full(count, NEVER), np.full((count, ndim), NEVER)
        coordinates, high = np.zeros((count, ndim), np.int64), np.zeros((count, ndim), np.int64)
        at_edge, intensity = np.zeros(count, bool), np.zeros((count, channels))
        label[group] = self.label
        np.minimum.at(first, group, self.first)
        np.minimum.at(low, group, self.low)
        np.maximum.at(high, group, self.high)
        np.logical_or.at(at_edge, group, self.at_edge)
        sums = ((area, self.area), (core, self.core), (coordinates, self.coordinates), (intensity, self.intensity))
        for total, column in sums:
            np.add.at(total, group, column)
        return ComponentSums(label, area, core, first, coordinates, low, high, at_edge, intensity)

    @property
    def ids(self) -> Ints:
        """The ids of the objects: the place of the first pixel, counted from 1."""
        return self.first + 1

    @property
    def objects(self) -> ObjectTable:
        extra = {"core_area": self.core, "at_edge": self.at_edge, "intensity_sum": self.intensity}
        centroid = self.coordinates / np.maximum(self.area, 1)[:, None]
        return ObjectTable(self.ids, self.label, self.area, centroid, self.low, self.high, extra)


@dataclass(frozen=True, eq=False)
class PixelList:
    """m pixels of components: the component of each (from 1), where it is (one array an axis), whether it is at the
    edge, and the image there (m, c)."""

    component: Ints
    at: tuple[Ints, ...]
    at_edge: NDArray[np.bool_]
    intensity: NDArray[np.float64]


def sums_of(cores: PixelList, boundary: PixelList, labels: Ints, shape: Sequence[int]) -> ComponentSums:
    """The sums of a tile's components. `labels` are their classes; `cores` come in raster order; `shape` is the whole
    image's."""
    count, ndim = len(labels), len(shape)
    component = np.concatenate([cores.component, boundary.component]) - 1
    at = [np.concatenate([a, b]) for a, b in zip(cores.at, boundary.at, strict=True)]
    intensity = np.concatenate([cores.intensity, boundary.intensity])
    area = np.bincount(component, minlength=count)
    coordinates, low, high = (np.zeros((count, ndim), np.int64) for _ in range(3))
    for axis, place in enumerate(at):
        origin = int(place.min(initial=0))
        shifted = np.bincount(component, weights=place - origin, minlength=count)  # exact: far below 2^53
        coordinates[:, axis] = shifted.astype(np.int64) + origin * area
        low[:, axis] = int(place.max(initial=0))
        np.minimum.at(low[:, axis], component, place)
        np.maximum.at(high[:, axis], component, place + 1)
    row = np.zeros(count, np.int64)
    row[cores.component[::-1] - 1] = np.arange(len(cores.component))[::-1]  # the last one written stays
    first = np.ravel_multi_index(tuple(axis[row] for axis in cores.at), tuple(shape))
    at_edge = np.zeros(count, bool)
    at_edge[component[np.concatenate([cores.at_edge, boundary.at_edge])]] = True
    total = np.zeros((count, intensity.shape[1]))
    for channel in range(intensity.shape[1]):
        total[:, channel] = np.bincount(component, weights=intensity[:, channel], minlength=count)
    core = np.bincount(cores.component - 1, minlength=count)
    return ComponentSums(labels, area, core, first, coordinates, low, high, at_edge, total)
