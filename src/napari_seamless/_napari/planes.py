"""Which plane of a stack is looked at, and where its result lies among the layer's axes. GUI thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_seamless._napari.layers import source_of
from napari_seamless._napari.readings import setting_of
from napari_seamless._napari.state import Place

if TYPE_CHECKING:
    import napari
    from napari.layers import Image

MOST_WITHOUT_QUESTION = 3
"""Axes of a plain array that is read without being asked about: channels before rows and columns."""


def place_of(viewer: napari.Viewer, layer: Image, spatial: int | None) -> Place:
    """What a run for a network of so many `spatial` axes (None: any number) is of, while this plane is looked at."""
    letters = letters_of(layer)
    flat = "tz" if spatial == 2 else "t"
    axes = [axis for axis, letter in enumerate(letters) if letter in flat]
    if not axes:
        return Place()
    shape = layer.level_shapes[0]
    point = np.rint(layer.world_to_data(viewer.dims.point))
    step = [min(max(int(at), 0), int(size) - 1) for at, size in zip(point, shape, strict=False)]
    front = [axis for axis in range(axes[0], len(letters)) if axis in axes or letters[axis] == "c"]
    return Place(
        plane=tuple((letters[axis], step[axis]) for axis in axes),
        front=tuple(1 if axis in axes else int(shape[axis]) for axis in front),
        corner=tuple(step[axis] if axis in axes else 0 for axis in front),
    )


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
