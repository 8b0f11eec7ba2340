"""Outlines of whole objects: polygons from rays where these are known, else along the edges of their pixels."""

# mypy: allow-untyped-calls

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from napari_seamless.io.writers.label_outlines import Outlines
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.objects.batches import Piece
from napari_seamless.postprocess.object_table import Ints, ObjectTable
from napari_seamless.postprocess.polygons.stars import PARTS, Stars

DECIMALS = 2
"""Of a pixel of the slide: corners are rounded before it is looked whether rings cross themselves."""


def ray_outlines(table: ObjectTable, labels: LabelImage) -> NDArray[np.object_]:
    """Polygons on the slide of objects that have a `center` and a `distance` along rays; cut at the image's edge.

    None for those of which rounding makes no valid polygon (they are smaller than a pixel).
    """
    stars = Stars.of(table.columns)
    y, x = (v / PARTS + stars.center[:, axis, None] for axis, v in enumerate(stars.vertices))
    corners = np.stack([x, y], axis=-1)
    height, width = labels.shape
    drawn = shapely.polygons(corners)
    outside = ((corners < -0.5) | (corners > np.array([width, height]) - 0.5)).any(axis=(1, 2))
    if outside.any():
        drawn[outside] = shapely.intersection(drawn[outside], shapely.box(-0.5, -0.5, width - 0.5, height - 0.5))
    drawn = _placed(drawn, labels, 0.0)
    drawn[~(shapely.is_valid(drawn) & (shapely.area(drawn) > 0))] = None
    return np.asarray(shapely.orient_polygons(drawn), object)


def on_slide(outlines: NDArray[np.object_], labels: LabelImage) -> NDArray[np.object_]:
    """Outlines along edges of the labels' pixels, where pixel i covers [i, i + 1), on the slide."""
    return _placed(outlines, labels, 0.5)


def _placed(outlines: NDArray[np.object_], labels: LabelImage, corner: float) -> NDArray[np.object_]:
    """Outlines whose pixels begin at `corner` - 0.5, in level-0 pixels of the slide, of which i covers [i, i + 1)."""
    scale, offset = (np.array(numbers)[::-1] for numbers in (labels.scale, labels.offset))
    return np.asarray(
        shapely.transform(outlines, lambda at: np.round((at - corner) * scale + offset + 0.5, DECIMALS)), object
    )


class PixelOutlines:
    """Outlines of objects with these (rising) `ids`, found in strips of labels from top to bottom. One thread."""

    def __init__(self, ids: Ints) -> None:
        self._ids = ids
        self._parts: list[list[Any]] = [[] for _ in ids]
        self._strips: Outlines | None = None

    def add(self, piece: Piece) -> None:
        """The next strip."""
        (top, left), (first, end) = piece.region.start, piece.rows
        if self._strips is None:
            self._strips = Outlines(corner=(first, left))
        rows = piece.labels[first - top : end - top]
        at = np.minimum(np.searchsorted(self._ids, rows), len(self._ids) - 1)
        own = np.where(self._ids[at] == rows, at + 1, 0).astype(np.int32)
        for number, polygon in self._strips.add(own):
            self._parts[number - 1].append(polygon)

    @property
    def outlines(self) -> NDArray[np.object_]:
        """A polygon, or a multipolygon of an object in several parts, for each id. No strips may come any more."""
        if self._strips is not None:
            for number, polygon in self._strips.close():
                self._parts[number - 1].append(polygon)
        found = np.empty(len(self._parts), object)
        for number, parts in enumerate(self._parts):
            found[number] = parts[0] if len(parts) == 1 else shapely.multipolygons(parts)
        # a ring begins at its leftmost corner, and has none where strips were joined
        return np.asarray(shapely.orient_polygons(shapely.simplify(shapely.normalize(found), 0)), object)
