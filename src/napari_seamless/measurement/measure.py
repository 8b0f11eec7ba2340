"""Measuring a result, or any label image: areas of classes, and objects."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.measurement import (
    Found,
    Parts,
    Polygons,
    Sought,
    outlines_of,
    pieces_over,
    read_annotations,
    stream,
)
from napari_seamless.measurement.label_images import Target, image_under, light_over, target_of
from napari_seamless.measurement.measurements import ClassArea, Column, Measurements, Remark

Name = str | int
AUTO = "auto"
RIM_NAME = "boundary"


def measure(
    what: Any,
    image: Any = None,
    *,
    region: Region | None = None,
    within: Any = None,
    classes: Sequence[Name] | Name | None = None,
    boundary: Name | None = AUTO,
    reach: float = 4.0,
    connectivity: int = 1,
    min_area: float | str = 0,
    pixel_size: float | Sequence[float] | None = None,
    names: Sequence[LabelClass] = (),
    on_progress: Callable[[int, int], None] | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Measurements:
    """Count the pixels of each class of a label image, and find its objects, of any size, with little memory.

    `what` is a Result, the path of one, or any label image that `open_image` takes. Of a result that is not finished
    only what is finished is measured. `region`, in its level-0 pixels, and `within` say where: a GeoJSON file (as
    QuPath saves it) or its content, or a list of outlines, each (n, 2) corners y, x; all in level-0 pixels of the
    slide, along the edges of pixels, where pixel i covers [i, i + 1); or what `label_outlines` made. A pixel lies
    within an outline if its centre does.

    `classes`, names or numbers, are those whose objects are counted; None: every value that occurs, whether it has a
    name or not ("class 3" then), but the background and the boundary; an empty list: none. Objects are connected
    pixels of one class, by faces (`connectivity` 1) or also by corners.
    `boundary` is a class that separates objects and belongs to them: its pixels go to the nearest object (Euclidean,
    between pixel centres) within `reach` pixels; "auto" takes a class that is called boundary. Objects smaller than
    `min_area`, a number of pixels or a text such as "20um2", are left out; `Measurements.objects` has the rest, with
    the mean of the channels of `image` under each, where one is given: an image of the labels' shape, or the slide
    that the result was made of; of a stack or a series, the plane and time point that it was made of are taken.

    `pixel_size` in micrometres goes before the image's own; `names` are classes of a label image that names none.
    `on_progress` gets (pixels done, in all); `cancelled` is asked between pieces. Both are called in this thread.

    Raises BadRequest, InputNotFound, InputUnreadable, InputMismatch, RunCancelled.
    """
    target, region = target_of(what, tuple(names), region, pixel_size)
    outlines = None if within is None else _outlines(within, target)
    region = _region(target, region, outlines)
    rim = _rim(target, boundary, classes)
    sought = _sought(target, classes, rim, reach, connectivity)
    least = _least(min_area, target)
    light = None if image is None or sought is None else light_over(image_under(image, target), target)
    found = stream(
        lambda at: target.source.read(at)[0],
        target.shape,
        region=region,
        piece=pieces_over(region.shape, target.chunk),
        inside=_inside(target, outlines),
        sought=sought,
        light=None if light is None else light.read,
        channels=0 if light is None else light.channels,
        on_progress=on_progress,
        cancelled=cancelled,
    )
    return _told(target, found, sought, least, () if light is None else light.names)


def label_outlines(rings: Sequence[ArrayLike]) -> Polygons:
    """Outlines for `measure`'s `within`, each (n, 2) corners y, x in pixels of the labels themselves, whose centres lie
    at whole numbers. Raises BadRequest."""
    return Polygons.of([[ring] for ring in rings])


def _told(target: Target, found: Found, sought: Sought | None, least: int, channels: Sequence[str]) -> Measurements:
    remarks = list(target.remarks)
    objects = found.objects.take(found.objects.area >= least)
    small = len(found.objects) - len(objects)
    if small:
        remarks.append(Remark(f"{small:,} objects of less than {least:,} pixels left out"))
    if sought is not None and sought.rim is not None:
        name = target.class_name(sought.rim)
        remarks.append(Remark(f"pixels of {name} count to the nearest object within {sought.reach:g} pixels"))
        if found.rimless:
            remarks.append(Remark(f"{found.rimless:,} pixels of {name} lie near no object"))
    edged = int(np.count_nonzero(objects.at_edge))
    if edged:
        remarks.append(Remark(f"{edged:,} objects touch the edge of what was measured, and may be cut by it"))
    pixels = sum(found.counts.values())
    return Measurements(
        name=target.name,
        areas=_areas(target, found.counts, pixels),
        objects={} if sought is None else _columns(target, objects, channels),
        counted=_counted(target, sought, objects),
        pixels=pixels,
        ndim=len(target.shape),
        pixel_size=target.pixel_size,
        remarks=tuple(remarks),
    )


def _areas(target: Target, counts: Mapping[int, int], pixels: int) -> tuple[ClassArea, ...]:
    """Of every class that the image names, and every other label that was met."""
    colours = {c.value: c.colour for c in target.classes}
    size = None if target.pixel_size is None else prod(target.pixel_size)
    rows = []
    for value in sorted({*counts, *colours}):
        count = counts.get(value, 0)
        area = None if size is None else count * size
        share = count / pixels if pixels else 0.0
        rows.append(
            ClassArea(value, target.class_name(value), colours.get(value), count, share, area, len(target.shape))
        )
    return tuple(rows)


def _counted(target: Target, sought: Sought | None, objects: Parts) -> tuple[str, ...]:
    if sought is None:
        return ()
    occur = {*np.unique(objects.value).tolist(), *(c.value for c in target.classes)} - {0, sought.rim}
    values = occur if sought.values is None else sought.values
    return tuple(target.class_name(value) for value in sorted(values)) if len(values) <= MANY else ()


MANY = 256
"""More than a one-byte image has are not classes but single objects, and nobody wants to read a line for each."""


def _columns(target: Target, objects: Parts, channels: Sequence[str]) -> dict[str, Column]:
    axes = "zyx"[-len(target.shape) :]
    area = objects.area
    values, index = np.unique(objects.value, return_inverse=True)
    names = np.array([target.class_name(int(v)) for v in values], dtype=object)
    columns: dict[str, Column] = {
        "object": np.arange(1, len(objects) + 1),
        "class": names[index] if len(values) else np.zeros(0, object),
        "label": objects.value,
        "pixels": area,
    }
    centre = objects.sums / np.maximum(area, 1)[:, None]
    if target.pixel_size is not None:
        columns["area_um2" if len(axes) == 2 else "volume_um3"] = area * prod(target.pixel_size)
    for axis, letter in enumerate(axes):
        columns[letter] = centre[:, axis]
    if target.pixel_size is not None:
        for axis, letter in enumerate(axes):
            columns[f"{letter}_um"] = target.origin[axis] + centre[:, axis] * target.pixel_size[axis]
    if any(s != 1 for s in target.scale) or any(target.offset):
        for axis, letter in enumerate(axes):
            columns[f"slide_{letter}"] = centre[:, axis] * target.scale[axis] + target.offset[axis]
    for word, bounds in (("min", objects.low), ("max", objects.high)):
        for axis, letter in enumerate(axes):
            columns[f"{letter}_{word}"] = bounds[:, axis]
    columns["at_edge"] = objects.at_edge
    for channel, name in enumerate(channels):
        columns[f"mean_{name}"] = objects.light[:, channel] / np.maximum(area, 1)
    return columns


def _outlines(within: Any, target: Target) -> Polygons:
    if isinstance(within, Polygons):
        return within
    if isinstance(within, str | Path):
        within = read_annotations(Path(within))
    if isinstance(within, Mapping) or (isinstance(within, list) and within and isinstance(within[0], Mapping)):
        return outlines_of(within, target.scale[-2:], target.offset[-2:])
    scale, offset = (np.asarray(numbers[-2:]) for numbers in (target.scale, target.offset))
    on_slide = label_outlines(within)
    return Polygons.of([[(ring - 0.5 - offset) / scale for ring in rings] for rings in on_slide.outlines])


def _region(target: Target, region: Region | None, outlines: Polygons | None) -> Region:
    whole = Region.from_shape(target.shape)
    if region is not None and (region.ndim != whole.ndim or region.is_empty or not whole.contains(region)):
        raise BadRequest(
            f"a region must lie inside the labels and hold a pixel; the labels are {whole!r}, got {region!r}"
        )
    wanted = whole if region is None else region
    if outlines is None:
        return wanted
    found = wanted.intersect(outlines.bounds(target.shape))
    if found.is_empty:
        raise BadRequest(f"outlines must lie over what is measured, {wanted!r}; they do not; check their coordinates")
    return found


def _inside(target: Target, outlines: Polygons | None) -> Callable[[Region], NDArray[np.bool_]] | None:
    if outlines is None and target.finished is None:
        return None

    def inside(region: Region) -> NDArray[np.bool_]:
        mask = np.ones(region.shape, bool)
        if outlines is not None:
            mask &= outlines.mask(region)
        if target.finished is not None and target.chunk is not None:
            cells = (np.arange(i.lo, i.hi) // c for i, c in zip(region.intervals, target.chunk, strict=True))
            mask &= target.finished[np.ix_(*cells)]
        return mask

    return inside


def _value(target: Target, name: Name) -> int:
    """The label of a class. Raises BadRequest."""
    if isinstance(name, int | np.integer) and not isinstance(name, bool):
        return int(name)
    text = str(name).strip()
    for known in target.classes:
        if known.name.lower() == text.lower():
            return known.value
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    listed = ", ".join(f"{c.value} {c.name}" for c in target.classes)
    raise BadRequest(
        f"a class is one of {listed}; got {text!r}; name one of them"
        if listed
        else f"these labels have no names, only numbers; got {text!r}; give a number"
    )


def _rim(target: Target, boundary: Name | None, classes: Sequence[Name] | Name | None) -> int | None:
    if boundary is None or boundary == "":
        return None
    if boundary != AUTO:
        return _value(target, boundary)
    rim = next((c.value for c in target.classes if c.name.lower() == RIM_NAME and c.value), None)
    return None if rim is None or rim in {_value(target, name) for name in _listed(classes)} else rim


def _listed(classes: Sequence[Name] | Name | None) -> Sequence[Name]:
    if classes is None:
        return ()
    return (classes,) if isinstance(classes, str | int) else classes


def _sought(
    target: Target, classes: Sequence[Name] | Name | None, rim: int | None, reach: float, connectivity: int
) -> Sought | None:
    if classes is not None and not _listed(classes):
        return None
    values = None if classes is None else frozenset(_value(target, name) for name in _listed(classes))
    return Sought(values, connectivity, rim, reach)


def _least(min_area: float | str, target: Target) -> int:
    """Pixels of the smallest object that counts."""
    ndim = len(target.shape)
    unit = "um2" if ndim == 2 else "um3"
    matched = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(px|um2|µm2|µm²|um3|µm3|µm³)?\s*", str(min_area))
    if matched is None:
        raise BadRequest(f"a smallest area is a number of pixels, or such as 20{unit}; got {min_area!r}")
    number, said = float(matched[1]), (matched[2] or "px").replace("µ", "u").replace("²", "2").replace("³", "3")
    if said == "px":
        return int(np.ceil(number))
    if said != unit:
        raise BadRequest(f"objects of an image with {ndim} axes have a size in px or {unit}; got {min_area!r}")
    if target.pixel_size is None:
        raise BadRequest(
            f"a smallest area in {unit} needs the size of a pixel, which is not known; got {min_area!r}; "
            "give it in pixels, or say that with pixel_size=0.25 (--pixel-size 0.25), in um per pixel"
        )
    return int(np.ceil(number / prod(target.pixel_size) - 1e-9))
