"""Along which axes of a layer an image lies that has fewer of them, or in another order. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.interfaces import Pixels


@dataclass(frozen=True)
class Axis:
    """One axis of a layer: the image's axis of the number `own`, or, where that is None, one that the image has not, at
    each of whose `length` steps from `start` on it is the same."""

    own: int | None = None
    length: int = 1
    start: int = 0


Axes = tuple[Axis, ...]
"""The axes of a layer, first to last, without colours; empty where they are the image's own, in its own order."""


Plane = tuple[tuple[str, int], ...]
"""The letters of axes (t, z) with numbers; empty for the whole image."""


@dataclass(frozen=True)
class StackPlane:
    """A plane of a layer; all of it where `indices` is empty.

    `indices` pairs the letter of an axis (t, z) with a number. `axes` are those that a layer of the result has: beside
    its own, one step of each axis in `indices`, and every step of an axis of channels, which the result lies over
    whatever channel is shown.
    """

    indices: Plane = ()
    axes: Axes = ()

    @property
    def words(self) -> str:
        """For the name of a layer: "t 3, z 10"."""
        return ", ".join(f"{letter} {number}" for letter, number in self.indices)


WHOLE = StackPlane()
"""All of a layer."""


def own_axes(axes: Axes, ndim: int) -> tuple[int, ...]:
    """Where each of an image's `ndim` axes is in the layer, counted from its last one: (-2, -1) of a plain plane.

    >>> own_axes((Axis(0), Axis(length=3), Axis(1), Axis(2)), 3)
    (-4, -2, -1)
    """
    where = {axis.own: number - len(axes) for number, axis in enumerate(axes) if axis.own is not None}
    return tuple(where.get(own, own - ndim) for own in range(ndim))


def own_region(region: Region, own: Sequence[int]) -> Region:
    """What a region of a layer is of an image whose axes are these (`own_axes`) of the layer's."""
    return Region(tuple(region.intervals[axis] for axis in own))


def steps_along(axes: Axes, scale: Sequence[float]) -> NDArray[np.float64]:
    """The `scale` of each axis of an image, one number for each axis of the layer: 1 where it is not the image's."""
    return np.array([1.0 if axis.own is None else scale[axis.own] for axis in axes] if axes else scale, float)


def starts_along(axes: Axes, offset: Sequence[float]) -> NDArray[np.float64]:
    """The `offset` of each axis of an image, likewise: where the layer's axis starts where it is not the image's."""
    return np.array([axis.start if axis.own is None else offset[axis.own] for axis in axes] if axes else offset, float)


def one_step(lengths: Sequence[int], own: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(scale, offset) of shapes or points that are seen at every step of a layer's axes but their `own`.

    napari shows them within half a step of their own: 0 on such an axis is its middle, and one step all of its length.

    >>> one_step((3, 20, 10), (-2, -1))
    (array([3., 1., 1.]), array([1., 0., 0.]))
    """
    scale = np.array(lengths, float)
    scale[list(own)] = 1
    return scale, (scale - 1) / 2


def align(pixels: Pixels, axes: Axes, lengths: Sequence[int]) -> Pixels:
    """Pixels of an image (and their colours, last) along the axes of a layer, of these lengths. Nothing is copied.

    They can be written to where no axis is longer than 1 but the image's own.
    """
    order = [axis.own for axis in axes if axis.own is not None]
    moved = pixels.transpose(*order, *range(len(order), pixels.ndim))
    spread: Pixels = moved[tuple(None if axis.own is None else slice(None) for axis in axes)]
    shape = (*lengths, *spread.shape[len(axes) :])
    return spread if spread.shape == shape else np.broadcast_to(spread, shape)
