"""The stream of rows: what is told of each object, a band of the image after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isclose, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.io.writers.object_rows import ObjectRows
from napari_seamless.measurement.intensity_image import IntensityImage
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.objects.batches import bands, groups, pieces
from napari_seamless.measurement.objects.found import Read, check_stopped
from napari_seamless.measurement.objects.intensities import StainSeparation, ValueSums
from napari_seamless.measurement.objects.neighbours import Neighbours
from napari_seamless.measurement.objects.outlines import PixelOutlines, on_slide, ray_outlines
from napari_seamless.measurement.objects.shapes import ShapeSums
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.roi_parts import RoiPart

Columns = dict[str, NDArray[Any]]
CELL = 1024
"""Pixels along the side of what is read at once."""
TOLD = ("at_edge", "score")
"""Columns of a table that come first, where it has them."""


@dataclass(frozen=True, eq=False)
class ObjectSource:
    """Painted labels (y, x) of a plane, and what is known of their objects.

    `objects` are those that are told, as `find_objects` gives them. `image` is what lies under them, `parts` of a roi
    name where each lies.
    """

    labels: LabelImage
    read: Read
    objects: ObjectTable
    image: IntensityImage | None = None
    separation: StainSeparation | None = None
    parts: tuple[RoiPart, ...] = ()

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.labels.shape
        return height, width


def rows_of(
    source: ObjectSource,
    *,
    outlines: bool = False,
    cell: int = CELL,
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Iterator[ObjectRows]:
    """All objects, in the order of `batches.bands`. `on_progress` gets (objects done, in all).

    Memory: what is read at once (`cell`), a band of rows, and 16 bytes for each object of the image, for neighbours.
    Raises RunCancelled, and what reading raises.
    """
    found = source.objects
    neighbours, done = Neighbours(found.centroid, source.labels.pixel_size), 0
    for numbers in bands(found):
        own = found.take(numbers)
        columns = _places(source, own)
        drawn = None
        if outlines and "distance" in own.extra:
            drawn = ray_outlines(own, source.labels)
        measured: Columns = {}
        traced = np.full(len(numbers), None, object)
        for group in groups(found, numbers, cell):
            check_stopped(cancelled)
            at = np.searchsorted(own.id, found.id[group])
            wanted = outlines and (drawn is None or any(one is None for one in drawn[at]))
            values, shapes = _measured(source, found.take(group), cell, wanted)
            for name, column in values.items():
                measured.setdefault(name, np.zeros(len(numbers), column.dtype))[at] = column
            traced[at] = shapes
            done += len(group)
            if on_progress is not None:
                on_progress(done, len(found))
        if drawn is not None:
            traced = np.where([one is None for one in drawn], traced, drawn)
        columns |= measured | _lengths(source.labels, measured) | neighbours.columns(numbers)
        if len(source.parts) > 1:
            columns["roi"] = _part_names(source.parts, own.centroid)
        yield ObjectRows(columns, traced if outlines else None)


def _measured(
    source: ObjectSource, group: ObjectTable, cell: int, wants_outlines: bool
) -> tuple[Columns, NDArray[np.object_]]:
    """What pixels say of objects that are read at once."""
    order = np.argsort(group.id)
    boxes = (group.id, group.low, group.high)
    shapes, traced = ShapeSums(*boxes), PixelOutlines(group.id[order])
    values = None if source.image is None else ValueSums(*boxes, source.image, source.separation)
    for piece in pieces(group, np.arange(len(group)), source.read, source.shape, cell):
        shapes.add(piece.labels, piece.region, piece.rows)
        if values is not None:
            values.add(piece.labels, piece.region, piece.rows)
        if wants_outlines:
            traced.add(piece)
    drawn = np.full(len(group), None, object)
    if wants_outlines:
        drawn[order] = on_slide(traced.outlines, source.labels)
    return dict(shapes.columns) | ({} if values is None else dict(values.columns(group.area))), drawn


def _places(source: ObjectSource, own: ObjectTable) -> Columns:
    """What is known without looking at pixels again."""
    labels = source.labels
    values, index = np.unique(own.label, return_inverse=True)
    names = np.array([labels.class_name(int(v)) for v in values], dtype=object)
    columns: Columns = {"id": own.id, "class": names[index], "label": own.label, "pixels": own.area}
    if labels.pixel_size is not None:
        columns["area_um2"] = own.area * prod(labels.pixel_size)
    columns |= {letter: own.centroid[:, axis] for axis, letter in enumerate("yx")}
    if labels.pixel_size is not None:
        for axis, letter in enumerate("yx"):
            columns[f"{letter}_um"] = labels.origin[axis] + own.centroid[:, axis] * labels.pixel_size[axis]
    if any(s != 1 for s in labels.scale) or any(labels.offset):
        for axis, letter in enumerate("yx"):
            columns[f"slide_{letter}"] = own.centroid[:, axis] * labels.scale[axis] + labels.offset[axis]
    for word, bounds in (("min", own.low), ("max", own.high)):
        columns |= {f"{letter}_{word}": bounds[:, axis] for axis, letter in enumerate("yx")}
    size = np.array(source.shape)
    columns["at_edge"] = ((own.low == 0) | (own.high == size)).any(axis=1)
    extra = {name: column for name, column in own.extra.items() if column.ndim == 1}
    first = {name: extra[name] for name in TOLD if name in extra}
    return columns | first | extra


def _lengths(labels: LabelImage, measured: Mapping[str, NDArray[Any]]) -> Columns:
    """Lengths in micrometres, where a pixel is as high as wide."""
    size = labels.pixel_size
    if size is None or not isclose(size[0], size[1], rel_tol=1e-6):
        return {}
    return {f"{name}_um": measured[name] * size[1] for name in ("perimeter", "major_axis", "minor_axis")}


def _part_names(parts: Sequence[RoiPart], centroid: NDArray[np.float64]) -> NDArray[np.object_]:
    """For each object the name of the first part that it lies in."""
    names = np.array([part.name or f"outline {k}" for k, part in enumerate(parts, 1)], dtype=object)
    return np.asarray(names[np.argmax(np.stack([part.holds(centroid) for part in parts]), axis=0)])
