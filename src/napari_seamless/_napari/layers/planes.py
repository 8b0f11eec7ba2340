"""Which plane of a stack is looked at, and where its result lies among the layer's axes. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_seamless._napari.layers.axes import Axes, Axis, StackPlane
from napari_seamless._napari.layers.readings import setting_of
from napari_seamless._napari.layers.source_layer import source_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

MOST_WITHOUT_QUESTION = 3
"""Axes of a plain array that is read without being asked about: channels before rows and columns."""


def plane_of(viewer: napari.Viewer, layer: Image, spatial: int | None) -> StackPlane:
    """What a run for a network of so many `spatial` axes (None: any number) is of, while this plane is looked at."""
    letters = letters_of(layer)
    flat = "tz" if spatial == 2 else "t"
    own = [letter for letter in "zyx" if letter in letters and letter not in flat]
    point = np.rint(layer.world_to_data(viewer.dims.point))
    step = [min(max(int(at), 0), int(size) - 1) for at, size in zip(point, layer.level_shapes[0], strict=False)]
    plane = {letter: step[axis] for axis, letter in enumerate(letters) if letter in flat}
    axes = axes_on(layer, letters, own, plane)
    return StackPlane(tuple(plane.items()), axes) if axes else StackPlane()


def axes_on(layer: Image, letters: str, own: Sequence[str], plane: Mapping[str, int]) -> Axes:
    """The axes of a layer for what has the axes `own` of an image layer with these letters, on this plane of it.

    They are the image layer's last ones; none where what is there has them all by itself.
    """
    first = min((axis for axis, letter in enumerate(letters) if letter in own or letter in plane), default=0)
    if list(letters[first:]) == list(own):
        return ()

    def along(axis: int) -> Axis:
        letter = letters[axis]
        if letter in own:
            return Axis(own.index(letter))
        return Axis(start=plane[letter]) if letter in plane else Axis(length=int(layer.level_shapes[0][axis]))

    return tuple(along(axis) for axis in range(first, len(letters)))


def spatial_axes_of(layer: Image, ndim: int) -> tuple[int, ...]:
    """Which axes of a layer are the last `ndim` of z, y and x, counted from its last one, without colours."""
    letters, own = letters_of(layer), "zyx"[-ndim:]
    if not set(own) <= set(letters):
        return tuple(range(-ndim, 0))
    return tuple(letters.index(letter) - len(letters) for letter in own)


def letters_of(layer: Image) -> str:
    """The letters (t, c, z, y, x) of a layer's axes, without the colours that come last; "" where nobody knows."""
    source = source_of(layer)
    if source is not None:
        info = source.info
        front = "" if info.rgb or info.channels == 1 else "c"
        return front + "zyx"[-info.ndim :]
    if layer.rgb:
        return "zyx"[-layer.ndim :] if layer.ndim <= MOST_WITHOUT_QUESTION else ""
    said = setting_of(layer, None).axes
    if said is not None:
        return said
    return "cyx"[-layer.ndim :] if layer.ndim <= MOST_WITHOUT_QUESTION else ""
