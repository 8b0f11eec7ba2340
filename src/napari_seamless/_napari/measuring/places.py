"""From shapes to outlines, and from an object to the camera. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import napari
    from napari.layers import Labels, Points, Shapes

CORNERS_OF_ELLIPSE = 360
CONTEXT = 6.0
"""How many times as wide as an object the view of it is."""
LEAST_VIEW = 160
"""Pixels of the labels that such a view shows at least."""
TRANSFORM = ("scale", "translate", "rotate", "shear", "affine", "units")


def outlines(shapes: Shapes, labels: Labels) -> list[NDArray[np.float64]]:
    """Corners (n, 2), y and x in pixels of the labels, of all shapes that enclose something.

    Lines and paths do not; of an ellipse, 360 corners on it are taken.
    """
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        if kind in ("polygon", "rectangle", "ellipse"):
            ring = _ellipse(corners) if kind == "ellipse" else np.asarray(corners)
            found.append(np.array([_in_pixels(shapes, labels, corner) for corner in ring]))
    return found


def _in_pixels(shapes: Shapes, labels: Labels, corner: NDArray[Any]) -> NDArray[np.float64]:
    world = np.asarray(shapes.data_to_world(corner))
    front = np.zeros(max(labels.ndim - len(world), 0))
    return np.asarray(labels.world_to_data(np.concatenate([front, world])[-labels.ndim :]))[-2:]


def _ellipse(corners: NDArray[Any]) -> NDArray[np.float64]:
    box = np.asarray(corners, float)
    centre, turn = box.mean(0), np.linspace(0, 2 * np.pi, CORNERS_OF_ELLIPSE, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(turn) * (box[1] - box[0]) / 2 + np.sin(turn) * (box[2] - box[1]) / 2)


def look_at(viewer: napari.Viewer, labels: Labels, row: Mapping[str, float]) -> None:
    """Move the camera to an object, given by its row of the table."""
    axes = [a for a in "zyx" if f"{a}_min" in row]
    front = (0.0,) * (labels.ndim - len(axes))  # the result of one plane has the stack's axes before its own
    low = np.array([*front, *(row[f"{a}_min"] - 0.5 for a in axes)])
    high = np.array([*front, *(row[f"{a}_max"] - 0.5 for a in axes)])
    corners = np.array([labels.data_to_world(corner) for corner in product(*zip(low, high, strict=True))])
    centre = np.asarray(labels.data_to_world((low + high) / 2))
    least = LEAST_VIEW * float(np.min(np.abs(np.asarray(labels.scale)[-2:])))
    across = max(float(np.ptp(corners[:, -2:], axis=0).max()) * CONTEXT, least)
    if len(centre) > 2 and viewer.dims.ndisplay == 2:
        for axis, place in enumerate(centre[:-2]):
            viewer.dims.set_point(axis, float(place))
    camera = viewer.scene.camera
    camera.center = tuple(float(c) for c in centre[-len(camera.center) :])
    camera.zoom = min(viewer.canvas.size) / across


def centroids(labels: Labels, objects: Mapping[str, NDArray[Any]], colours: Sequence[str], size: float) -> Points:
    """A point for each object, at its centroid, in the colour of its class, with its row as features."""
    from napari.layers import Points

    axes = [objects[a] for a in "zyx" if a in objects]
    front = [np.zeros_like(axes[0])] * (labels.ndim - len(axes))
    placed = {name: getattr(labels, name) for name in TRANSFORM}
    return Points(
        np.stack([*front, *axes], 1),
        name=f"{labels.name}: centroids",
        features={name: column for name, column in objects.items() if name != "object"},
        face_color=list(colours) or "white",
        border_color="black",
        border_width=0.1,
        size=size,
        **placed,
    )
