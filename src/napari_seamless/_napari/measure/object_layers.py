"""Objects in the viewer: the camera on one of them, and points at the centres of all. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import one_step
from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import axes_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Points

CONTEXT = 6.0
"""How many times as wide as an object the view of it is."""
LEAST_VIEW = 160
"""Pixels of the labels that such a view shows at least."""
TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")


def look_at(viewer: napari.Viewer, labels: Labels, row: Mapping[str, float]) -> None:
    """Move the camera, and the sliders, to an object, given by its row of the table."""
    letters = [a for a in "zyx" if f"{a}_min" in row]
    axes = list(axes_of(labels, len(letters)))
    low, high = np.zeros(labels.ndim), np.zeros(labels.ndim)
    low[axes] = [row[f"{a}_min"] - 0.5 for a in letters]
    high[axes] = [row[f"{a}_max"] - 0.5 for a in letters]
    corners = np.array([labels.data_to_world(corner) for corner in product(*zip(low, high, strict=True))])
    centre = np.asarray(labels.data_to_world((low + high) / 2))
    displayed = [axis for n in viewer.dims.displayed if (axis := n - viewer.dims.ndim) >= -labels.ndim]
    least = LEAST_VIEW * float(np.min(np.abs(np.asarray(labels.scale)[displayed[-2:]])))
    across = max(float(np.ptp(corners[:, displayed[-2:]], axis=0).max()) * CONTEXT, least)
    for axis in range(-labels.ndim, 0):
        # every step of an axis that is not the labels' own shows the same: the slider stays where it is
        if axis not in displayed and (axis in axes or labels.level_shapes[0][axis] == 1):
            viewer.dims.set_point(viewer.dims.ndim + axis, float(centre[axis]))
    camera = viewer.scene.camera
    camera.center = (*camera.center[: -len(displayed)], *(float(centre[axis]) for axis in displayed))
    camera.zoom = min(viewer.canvas.size) / across


def centroids(labels: Labels, objects: Mapping[str, NDArray[Any]], colours: Sequence[str], size: float) -> Points:
    """A point for each object, `size` columns wide, at its centroid, in the colour of its class, its row as features.

    It is seen wherever its object is, on its own plane and at every channel, also where the labels are moved.
    """
    from napari.layers import Points

    own = [objects[a] for a in "zyx" if a in objects]
    axes = axes_of(labels, len(own))
    scale, offset = one_step(labels.level_shapes[0], axes)
    places = np.tile(offset / scale, (len(own[0]), 1))
    places[:, list(axes)] = np.stack(own, 1)
    steps = np.asarray(labels.scale) * scale
    placed = {name: getattr(labels, name) for name in TRANSFORM} | {"scale": steps}
    points = Points(
        places,
        name=f"{labels.name}: centroids",
        features={name: column for name, column in objects.items() if name != "object"},
        face_color=list(colours) or "white",
        border_color="black",
        border_width=0.1,
        size=size * abs(steps[axes[-1]] / steps[-1]),  # napari takes it along the last axis, whatever that is
        **placed,
    )
    follow(labels, [points], scale.tolist(), [0.0] * labels.ndim)
    return points
