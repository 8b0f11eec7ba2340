"""The two layers of a lesson: the strokes that a person paints, and what the network makes of what is on screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from zlib import crc32

import numpy as np
from napari.layers import Image, Labels
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import placed_over
from napari_seamless._napari.layers.source_layer import spatial_shape
from napari_seamless._napari.teach.state import Prediction
from napari_seamless.geometry import Interval, Region
from napari_seamless.interfaces import LabelClass

if TYPE_CHECKING:
    import napari

STROKES, STEP, TAUGHT = "napari-seamless strokes", "napari-seamless step", "napari-seamless taught"
LARGEST = 3072
"""Longest side of a layer of strokes: on a larger image a stroke's pixel stands for several of the image's."""
MOST_LOOKED = 1536
BRUSH = 12
CLEAR = (0.0, 0.0, 0.0, 0.0)


def strokes_layer(image: Image, classes: Sequence[LabelClass]) -> Labels:
    """An empty layer over an image, to be painted on with the first class."""
    shape = spatial_shape(image)[-2:]
    step = -(-max(shape) // LARGEST)
    labels = np.zeros([-(-n // step) for n in shape], np.uint8)
    offset = (step - 1) / 2
    layer = Labels(
        labels,
        name=f"{image.name}: strokes",
        metadata={STROKES: str(image.unique_id), STEP: step},
        opacity=0.8,
        **placed_over(image, (step, step), (offset, offset)),
    )
    follow(image, [layer], (step, step), (offset, offset))
    layer.brush_size = max(BRUSH // step, 1)
    layer.selected_label = classes[0].value
    layer.mode = "paint"
    show_classes(layer, classes)
    return layer


def strokes_of(viewer: napari.Viewer, image: Image) -> Labels | None:
    """The layer of strokes over an image."""
    key = str(image.unique_id)
    return next((x for x in viewer.layers if isinstance(x, Labels) and x.metadata.get(STROKES) == key), None)


def painted(layer: Labels) -> tuple[NDArray[np.uint8], int, int]:
    """What is painted: a copy, the image pixels that one of its pixels stands for, and a number that tells changes."""
    labels = np.array(layer.data, np.uint8)
    return labels, int(layer.metadata[STEP]), crc32(labels.data)


def show_classes(layer: Labels, classes: Sequence[LabelClass]) -> None:
    """Colours of classes on a layer."""
    colours: dict[Any, Any] = {None: CLEAR, 0: CLEAR, **{c.value: c.colour for c in classes}}
    layer.colormap = DirectLabelColormap(color_dict=colours)


def middle_of(view: Region) -> Region:
    """As much of the middle of a view (its last two axes) as is looked at in one go."""
    return Region(tuple(_middle(i) for i in view.intervals[-2:]))


def _middle(interval: Interval) -> Interval:
    over = max(interval.size - MOST_LOOKED, 0)
    return Interval(interval.lo + over // 2, interval.lo + over // 2 + interval.size - over)


def show_prediction(
    viewer: napari.Viewer, image: Image, prediction: Prediction, classes: Sequence[LabelClass]
) -> Labels:
    """Puts what the network made of a region over the image, below the strokes; one layer an image."""
    placed = placed_over(image, (1, 1), prediction.region.start)
    key = str(image.unique_id)
    layer = next((x for x in viewer.layers if isinstance(x, Labels) and x.metadata.get(TAUGHT) == key), None)
    if layer is not None:
        layer.data = prediction.labels
        for name in ("translate", "affine"):
            if name in placed:
                setattr(layer, name, placed[name])
        follow(image, [layer], (1, 1), prediction.region.start)
        return layer
    layer = Labels(prediction.labels, name=f"{image.name}: taught", metadata={TAUGHT: key}, opacity=0.4, **placed)
    follow(image, [layer], (1, 1), prediction.region.start)
    show_classes(layer, classes)
    chosen = viewer.layers.selection.active
    strokes = strokes_of(viewer, image)
    at = len(viewer.layers) if strokes is None else viewer.layers.index(strokes)
    viewer.layers.insert(at, layer)
    viewer.layers.selection.active = chosen  # a person is painting
    return layer
