"""Annotations as a layer of shapes with their names, and such a layer as a roi again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.drawn_shapes import Corners, PlaneAxes, outline_layer, polygons_over
from napari_seamless._napari.layers.planes import spatial_axes_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Shapes

    from napari_seamless.runs.annotations import Annotation

READ = "napari-seamless read"
"""In the metadata of a layer of shapes: the file that they were read from, and the polygons that were in it."""
NAME, CLASS = "name", "class"
SAME = 1e-3
"""Pixels that a corner may be off by, after the transforms of two layers, and still be where the file has it."""


def file_layer(viewer: napari.Viewer, image: Image, drawn: Sequence[Annotation], file: Path) -> Shapes:
    """A new layer with the annotations of a file, over the image that they were drawn on. GUI thread."""
    layer = annotation_layer(viewer, image, drawn, file.stem, spatial_axes_of(image, 2))
    layer.metadata[READ] = (file, [_joined(rings) for one in drawn for rings in one.polygons])
    return layer


def annotation_layer(
    viewer: napari.Viewer, over: Image | Labels, drawn: Sequence[Annotation], name: str, axes: PlaneAxes
) -> Shapes:
    """A new layer with a polygon for each of the annotations, which are in pixels of a layer of which `axes` are rows
    and columns. GUI thread.

    A hole is joined to its outline by a line without width.
    """
    named = [(one, _joined(rings)) for one in drawn for rings in one.polygons]
    layer = outline_layer(viewer, over, name, axes)
    rows_and_columns = [axis + layer.ndim for axis in axes]
    data = []
    for _, corners in named:
        points = np.zeros((len(corners), layer.ndim))
        points[:, rows_and_columns] = corners - 0.5  # napari counts from the middle of a pixel
        data.append(points)
    layer.add(data, shape_type="polygon")
    layer.features = {NAME: [one.name for one, _ in named], CLASS: [one.classification for one, _ in named]}
    layer.feature_defaults = {NAME: "", CLASS: ""}  # else what is drawn next would have the last one's
    if written := _written(drawn):
        layer.text = {"string": written, "color": "#ffc233", "size": 9, "anchor": "upper_left"}
    layer.mode = "pan_zoom"
    return layer


def roi_in(shapes: Shapes, image: Image) -> list[Corners] | Mapping[str, Any] | Path:
    """What a layer of shapes says of where to run, in level-0 pixels of an image; [] where nothing is drawn.

    The file that they were read from where they are still as they were read, GeoJSON where any has a name or a class,
    else polygons.
    """
    polygons = polygons_over(shapes, image)
    read: tuple[Path, list[Corners]] | None = shapes.metadata.get(READ)
    if read is not None and _are_same(polygons, read[1]):
        return read[0]
    names, classes = (_texts(shapes, column) for column in (NAME, CLASS))
    if not polygons or not any((*names, *classes)):
        return polygons
    return {
        "type": "FeatureCollection",
        "features": [
            _feature(corners, name, kind) for corners, name, kind in zip(polygons, names, classes, strict=True)
        ],
    }


def _feature(corners: Corners, name: str, classification: str) -> dict[str, Any]:
    ring = [[round(float(x), 2), round(float(y), 2)] for y, x in (*corners, corners[0])]
    said: dict[str, Any] = {"name": name} if name else {}
    said |= {"classification": {"name": classification}} if classification else {}
    return {"type": "Feature", "properties": said, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def _texts(shapes: Shapes, column: str) -> list[str]:
    """A column of the features; "" where it says nothing."""
    if column not in shapes.features:
        return [""] * len(shapes.data)
    return [value if isinstance(value, str) else "" for value in shapes.features[column]]


def _written(drawn: Sequence[Annotation]) -> str:
    """What stands beside a shape, as napari fills it in from the features."""
    is_named, is_classed = any(one.name for one in drawn), any(one.classification for one in drawn)
    if is_named and is_classed:
        return f"{{{NAME}}} ({{{CLASS}}})"
    return f"{{{NAME}}}" if is_named else f"{{{CLASS}}}" if is_classed else ""


def _joined(rings: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """An outline and its holes as one line, which goes to each hole and comes back."""
    outer, *holes = (ring[:-1] if len(ring) > 3 and (ring[0] == ring[-1]).all() else ring for ring in rings)
    parts = [outer]
    for hole in holes:
        parts += [outer[:1], hole, hole[:1]]
    return np.concatenate([*parts, outer[:1]] if holes else parts)


def _are_same(ones: Sequence[Corners], others: Sequence[Corners]) -> bool:
    return len(ones) == len(others) and all(
        one.shape == other.shape and np.allclose(one, other, rtol=0, atol=SAME)
        for one, other in zip(ones, others, strict=True)
    )
