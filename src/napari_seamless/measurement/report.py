"""From what was counted to what is told: areas of classes, columns of objects, and remarks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from napari_seamless.measurement.label_counts import LabelCounts
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.measurements import (
    MANY,
    ClassArea,
    Column,
    Measurements,
    PartMeasurements,
    Remark,
)
from napari_seamless.postprocess.components import Components
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.roi_parts import EDGE_RULE, RoiPart, any_holds, words

Mask = NDArray[np.bool_]


def measurements_of(
    labels: LabelImage,
    found: LabelCounts,
    components: Components | None,
    smallest: int,
    channels: Sequence[str],
    parts: Sequence[RoiPart] = (),
    *,
    is_asked: bool = False,
    rows: Mapping[str, Column] | None = None,
) -> Measurements:
    """What is told of labels; objects of fewer than `smallest` pixels, and those whose centroid lies in none of the
    `parts`, are left out. `channels` are those whose means objects have; the parts were asked of the run (`is_asked`),
    or of the measurement. `rows` are the columns of objects that are such in the labels already."""
    if parts:
        found = replace(found, objects=found.objects.take(any_holds(parts, found.objects.centroid)))
    objects = found.objects.take(found.objects.area >= smallest)
    pixels = sum(found.counts.values())
    has_objects = components is not None or rows is not None
    remarks = _remarks(labels, found, components, smallest, objects) if has_objects else []
    columns = {} if components is None else _columns(labels, objects, channels)
    if rows is not None:
        columns = {"object": rows["id"], **{name: column for name, column in rows.items() if name != "id"}}
    told, inside = _parts(labels, found, objects, parts)
    if components is not None and len(parts) > 1:
        columns["roi"] = _first_names(told, inside)
    return Measurements(
        name=labels.name,
        areas=_areas(labels, found.counts, pixels),
        objects=columns,
        counted=_counted(labels, components, objects) if has_objects else (),
        pixels=pixels,
        ndim=len(labels.shape),
        pixel_size=labels.pixel_size,
        remarks=(
            *_roi_remarks(parts, is_asked, has_objects),
            *_finished_remarks(labels, found, pixels, bool(parts)),
            *labels.remarks,
            *remarks,
        ),
        parts=told if len(told) > 1 or any(row.name for row in parts) else (),
    )


def _roi_remarks(parts: Sequence[RoiPart], is_asked: bool, has_objects: bool) -> list[Remark]:
    if not parts:
        return []
    asked = "what was asked for, " if is_asked else ""
    rule = f"; {EDGE_RULE}" if has_objects else ""
    more = "; all that was computed is measured with roi='computed' (--roi computed)" if is_asked else ""
    return [Remark(f"measured is {asked}{words(parts)}{rule}{more}")]


def _finished_remarks(labels: LabelImage, found: LabelCounts, pixels: int, is_part: bool) -> list[Remark]:
    if labels.finished is None or (is_part and not found.missing):
        return []
    share, of = float(labels.finished.mean()), "the result"
    if is_part:
        share, of = pixels / (pixels + found.missing), "it"
    return [Remark(f"{share:.0%} of {of} is finished; only that is measured")]


def _parts(
    labels: LabelImage, found: LabelCounts, objects: ObjectTable, parts: Sequence[RoiPart]
) -> tuple[tuple[PartMeasurements, ...], list[Mask]]:
    """A row for each part, and which objects lie in it."""
    inside = [part.holds(objects.centroid) for part in parts]
    rows = []
    for number, (part, counts, within) in enumerate(zip(parts, found.parts, inside, strict=True), 1):
        pixels = sum(counts.values())
        values, many = np.unique(objects.label[within], return_counts=True)
        each = {labels.class_name(int(v)): int(n) for v, n in zip(values, many, strict=True)}
        name = part.name or f"outline {number}"
        rows.append(PartMeasurements(name, part.classification, pixels, _areas(labels, counts, pixels), each))
    return tuple(rows), inside


def _first_names(rows: Sequence[PartMeasurements], inside: Sequence[Mask]) -> Column:
    """For each object the name of the first part that it lies in."""
    names = np.array([row.name for row in rows], dtype=object)
    return np.asarray(names[np.argmax(np.stack(inside), axis=0)], dtype=object)


def _remarks(
    labels: LabelImage, found: LabelCounts, components: Components | None, smallest: int, objects: ObjectTable
) -> list[Remark]:
    remarks = []
    small = len(found.objects) - len(objects)
    if small:
        remarks.append(Remark(f"{small:,} objects of less than {smallest:,} pixels left out"))
    if components is not None and components.boundary is not None:
        name = labels.class_name(components.boundary)
        remarks.append(Remark(f"pixels of {name} count to the nearest object within {components.reach:g} pixels"))
        if found.unassigned:
            remarks.append(Remark(f"{found.unassigned:,} pixels of {name} lie near no object"))
    cut = int(np.count_nonzero(objects.extra.get("at_edge", ())))
    if cut:
        remarks.append(Remark(f"{cut:,} objects touch the edge of the image, or of what is finished, and may be cut"))
    return remarks


def _areas(labels: LabelImage, counts: Mapping[int, int], pixels: int) -> tuple[ClassArea, ...]:
    """Of every class that the image names, and every other label that was met."""
    colours = {c.value: c.colour for c in labels.classes}
    size = None if labels.pixel_size is None else prod(labels.pixel_size)
    rows = []
    for value in sorted({*counts, *colours}):
        count = counts.get(value, 0)
        area = None if size is None else count * size
        share = count / pixels if pixels else 0.0
        name, ndim = labels.class_name(value), len(labels.shape)
        rows.append(ClassArea(value, name, colours.get(value), count, share, area, ndim))
    return tuple(rows)


def _counted(labels: LabelImage, components: Components | None, objects: ObjectTable) -> tuple[str, ...]:
    occur = {*np.unique(objects.label).tolist(), *(c.value for c in labels.classes)} - {0}
    if components is not None:
        occur -= {components.boundary}
    values = occur if components is None or components.classes is None else components.classes
    return tuple(labels.class_name(value) for value in sorted(values)) if len(values) <= MANY else ()


def _columns(labels: LabelImage, objects: ObjectTable, channels: Sequence[str]) -> dict[str, Column]:
    axes = "zyx"[-len(labels.shape) :]
    values, index = np.unique(objects.label, return_inverse=True)
    names = np.array([labels.class_name(int(v)) for v in values], dtype=object)
    columns: dict[str, Column] = {
        "object": objects.dense.id,
        "class": names[index] if len(values) else np.zeros(0, object),
        "label": objects.label,
        "pixels": objects.area,
    }
    if labels.pixel_size is not None:
        columns["area_um2" if len(axes) == 2 else "volume_um3"] = objects.area * prod(labels.pixel_size)
    columns |= _centroids(labels, objects, axes)
    for word, bounds in (("min", objects.low), ("max", objects.high)):
        for axis, letter in enumerate(axes):
            columns[f"{letter}_{word}"] = bounds[:, axis]
    columns["at_edge"] = objects.extra["at_edge"]
    sums = objects.extra["intensity_sum"]
    for channel, name in enumerate(channels):
        columns[f"mean_{name}"] = sums[:, channel] / objects.area if len(objects) else np.zeros(0)
    return columns


def _centroids(labels: LabelImage, objects: ObjectTable, axes: str) -> dict[str, Column]:
    """In pixels, in micrometres where these are known, and in pixels of the slide where they are others."""
    columns: dict[str, Column] = {letter: objects.centroid[:, axis] for axis, letter in enumerate(axes)}
    if labels.pixel_size is not None:
        for axis, letter in enumerate(axes):
            columns[f"{letter}_um"] = labels.origin[axis] + objects.centroid[:, axis] * labels.pixel_size[axis]
    if any(s != 1 for s in labels.scale) or any(labels.offset):
        for axis, letter in enumerate(axes):
            columns[f"slide_{letter}"] = objects.centroid[:, axis] * labels.scale[axis] + labels.offset[axis]
    return columns
