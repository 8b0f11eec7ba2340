"""What somebody has drawn, as polygons on the pixels of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import one_step
from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import axes_of, placed_over
from napari_seamless._napari.layers.planes import spatial_axes_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Layer, Shapes

Corners = NDArray[np.float64]
PlaneAxes = tuple[int, ...]
"""Two axes of a layer, counted from its last one: (-2, -1) of a plain picture."""
AROUND = 64
CORNERS_OF_ELLIPSE = 360
NAME = "where to run"


def polygons_over(shapes: Shapes, image: Image) -> list[Corners]:
    """Every shape as an (n, 2) array of (y, x) in level-0 pixels of the image, along the edges of pixels.

    An ellipse becomes a polygon around it, a path the area that it encloses, and a line something as thin as a pixel.
    """
    (turn, start), axes = _between(shapes, image), list(spatial_axes_of(image, 2))
    found = []
    for corners, kind in zip(shapes.data, shapes.shape_type, strict=True):
        points = np.asarray(corners, float)
        if kind == "ellipse":
            points = _around(points)
        plane = (points @ turn.T + start)[:, axes] + 0.5  # napari counts from the middle of a pixel
        found.append(_thickened(plane) if len(plane) < 3 else plane)
    return found


def drawing_layer(viewer: napari.Viewer, image: Image) -> Shapes:
    """A new layer of shapes over an image, ready for a rectangle to be drawn. GUI thread."""
    layer = outline_layer(viewer, image, NAME, spatial_axes_of(image, 2))
    layer.mode = "add_rectangle"
    return layer


def outline_layer(viewer: napari.Viewer, image: Image | Labels, name: str, rows_and_columns: PlaneAxes) -> Shapes:
    """A new layer of shapes over an image of which these axes are rows and columns, without any shape. GUI thread.

    Shapes say which rows and columns are run, and are seen on every plane, time point and channel. They stay on their
    pixels where the image is moved.
    """
    ndim = 2 if rows_and_columns == (-2, -1) else image.ndim
    scale, offset = one_step(image.level_shapes[0][: image.ndim][-ndim:], rows_and_columns)
    layer: Shapes = viewer.add_shapes(
        ndim=ndim,
        name=name,
        edge_color="#ffc233",
        face_color="#ffc23322",
        edge_width=_screen_pixels(viewer, float(np.asarray(image.scale)[rows_and_columns[-1]]), 2),
        **placed_over(image, scale.tolist(), offset.tolist()),
    )
    follow(image, [layer], scale.tolist(), offset.tolist())
    return layer


def _screen_pixels(viewer: napari.Viewer, step: float, count: float) -> float:
    """As many pixels of an image, `step` wide in the world, as `count` pixels of the screen are now."""
    return count / max(float(viewer.scene.camera.zoom) * (step or 1.0), 1e-9)


def _between(shapes: Layer, image: Layer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The matrix and the shift from one layer's data to another's: both are placed by affine transforms."""

    def moved(point: NDArray[Any]) -> NDArray[np.float64]:
        return np.asarray(image.world_to_data(shapes.data_to_world(tuple(point))), float)

    origin = np.zeros(shapes.ndim)
    start = moved(origin)
    columns = []
    for axis in range(shapes.ndim):
        step = origin.copy()
        step[axis] = 1.0
        columns.append(moved(step) - start)
    return np.stack(columns, axis=1), start


def _around(corners: Corners) -> Corners:
    """A polygon around the ellipse in a parallelogram: its sides touch it."""
    first, second, _, last = corners
    centre, along, across = corners.mean(axis=0), (second - first) / 2, (last - first) / 2
    angle = np.arange(AROUND)[:, None] * 2 * np.pi / AROUND
    out: Corners = centre + (along * np.cos(angle) + across * np.sin(angle)) / np.cos(np.pi / AROUND)
    return out


def _thickened(line: Corners) -> Corners:
    """A line of two points, or a single point, as wide as a pixel."""
    first, last = line[0], line[-1]
    ahead = last - first
    length = float(np.hypot(*ahead))
    ahead = ahead / length if length else np.array([1.0, 0.0])
    side = np.array([-ahead[1], ahead[0]]) / 2
    ahead = ahead / 2
    return np.stack([first - ahead - side, last + ahead - side, last + ahead + side, first - ahead + side])


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
    pixel = np.asarray(labels.world_to_data(np.concatenate([front, world])[-labels.ndim :]))
    return pixel[list(axes_of(labels, 2))]


def _ellipse(corners: NDArray[Any]) -> NDArray[np.float64]:
    box = np.asarray(corners, float)
    centre, turn = box.mean(0), np.linspace(0, 2 * np.pi, CORNERS_OF_ELLIPSE, endpoint=False)[:, None]
    return np.asarray(centre + np.cos(turn) * (box[1] - box[0]) / 2 + np.sin(turn) * (box[2] - box[1]) / 2)
