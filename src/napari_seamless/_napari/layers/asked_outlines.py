"""What was asked of a result, drawn over it: outlines with the names that they had when they were asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.annotation_shapes import annotation_layer
from napari_seamless._napari.layers.live_layers import axes_of
from napari_seamless.interfaces import LiveImage
from napari_seamless.runs.annotations import Annotation
from napari_seamless.runs.asked_roi import Asked, Place, asked_of, asked_parts, corners_of, place_of

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels, Shapes

ASKED_OF = "napari-seamless asked of"
"""In the metadata of a layer of shapes: the key of the result that they were asked of."""
STRAIGHT = 0.7
"""Pixels of a mask that its outline may be off by."""


def show_asked(viewer: napari.Viewer, result: LiveImage, over: Image | Labels) -> Shapes | None:
    """A layer of what was asked of a result, over a layer that shows it, instead of the one that there was.

    None where all of it was asked for, or nobody wrote down what was. GUI thread.
    """
    key = result.info.identity
    for layer in [layer for layer in viewer.layers if layer.metadata.get(ASKED_OF) == key]:
        viewer.layers.remove(layer)
    kept: Any = result
    if not hasattr(kept, "kept"):
        return None
    place = place_of(kept.provenance, result.info.ndim)
    if not asked_parts(kept, place, result.info.levels.shape(0)):
        return None
    drawn = [_on_result(_drawn(asked), place) for asked in asked_of(kept)]
    active = viewer.layers.selection.active
    made = annotation_layer(viewer, over, drawn, f"{result.info.title}: asked for", axes_of(over, 2))
    made.metadata[ASKED_OF] = key
    viewer.layers.selection.active = active
    return made


def _drawn(asked: Asked) -> Annotation:
    """What was asked for as outlines on the slide."""
    if asked.drawn is not None:
        return asked.drawn
    if asked.mask is not None and asked.extent is not None:
        rings = tuple(_outlined(asked.mask, asked.extent))
    else:
        rings = (corners_of(asked.box),)
    return Annotation(rings, asked.name, asked.classification)


def _outlined(mask: NDArray[np.bool_], extent: tuple[float, float]) -> Iterator[tuple[NDArray[np.float64], ...]]:
    """Outlines of a mask over an image of that height and width, each with its holes."""
    from napari_seamless.io.writers.label_outlines import Outlines

    step, found = np.array(extent) / np.array(mask.shape), Outlines()
    for _, outline in (*found.add(mask.astype(np.uint8)), *found.close()):
        plain = outline.simplify(STRAIGHT)
        rings = (plain.exterior, *plain.interiors)
        yield tuple(np.asarray(ring.coords)[:-1, ::-1] * step for ring in rings)


def _on_result(drawn: Annotation, place: Place) -> Annotation:
    """An annotation on the slide, on the pixels of a result."""
    scale, offset = (np.asarray(numbers[-2:]) for numbers in place)
    moved = tuple(tuple((ring - 0.5 - offset) / scale + 0.5 for ring in rings) for rings in drawn.polygons)
    return replace(drawn, polygons=moved)
