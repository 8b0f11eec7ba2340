"""Areas and objects of labels that are objects already, told as those of class maps are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.measurement.label_counts import count_labels, tile_shape_over
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.measurements import Measurements
from napari_seamless.measurement.objects.measure_objects import ObjectMeasurements
from napari_seamless.measurement.report import measurements_of
from napari_seamless.measurement.roi import mask_of
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.roi_parts import RoiPart, hull


def measurements_of_objects(
    labels: LabelImage,
    parts: Sequence[RoiPart],
    objects: ObjectMeasurements | None,
    is_asked: bool,
    cancelled: Callable[[], bool] | None,
) -> Measurements:
    """Pixels of each class, which is that of the object that has them, and all columns of `objects` (None: areas only).

    Raises InputMismatch, RunCancelled, and what reading raises.
    """
    table = labels.objects
    assert table is not None, "labels that are objects have a table"
    region = hull(parts) if parts else Region.from_shape(labels.shape)
    found = count_labels(
        lambda at: classes_of(labels.source.read(at)[0], table, labels.finished is None),
        labels.shape,
        region=region,
        tile=tile_shape_over(region.shape, labels.chunk),
        mask=mask_of(labels, None),
        parts=parts,
        cancelled=cancelled,
    )
    if objects is None:
        return measurements_of(labels, found, None, 0, (), parts, is_asked=is_asked)
    told = replace(found, objects=objects.source.objects)
    return measurements_of(labels, told, None, 0, (), parts, is_asked=is_asked, rows=objects.table())


def classes_of(ids: NDArray[Any], table: ObjectTable, is_whole: bool) -> NDArray[np.int64]:
    """The class of the object that has each pixel, 0 for none, and for one that is still being made, where the table is
    not `is_whole`. Raises InputMismatch for other objects without a row."""
    inside = ids != 0
    own = ids[inside]
    at = np.searchsorted(table.id, own)
    known = np.append(table.id, -1)[at] == own
    if not known.all() and is_whole:
        raise InputMismatch(
            "each label must have a row in the table of objects; some have none; give the table that was made with the "
            "labels"
        )
    classes = np.zeros(ids.shape, np.int64)
    classes[inside] = np.where(known, np.append(table.label, 0)[at], 0)
    return classes
