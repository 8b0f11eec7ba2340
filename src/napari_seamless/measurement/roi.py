"""Where labels are measured: a region, outlines, and of a result that is not finished what is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.measurement.geojson_polygons import polygons_of_geojson, read_geojson
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.polygons import Polygons


def polygons_on(labels: LabelImage, roi: Any) -> Polygons:
    """Outlines, as `measure` takes them, in pixels of the labels.

    Raises BadRequest, InputNotFound, InputUnreadable.
    """
    if isinstance(roi, Polygons):
        return roi
    if isinstance(roi, str | Path):
        roi = read_geojson(Path(roi))
    if isinstance(roi, Mapping) or (isinstance(roi, list) and roi and isinstance(roi[0], Mapping)):
        return polygons_of_geojson(roi, labels.scale[-2:], labels.offset[-2:])
    scale, offset = (np.asarray(numbers[-2:]) for numbers in (labels.scale, labels.offset))
    on_slide = Polygons.of([[ring] for ring in roi])
    return Polygons.of([[(ring - 0.5 - offset) / scale for ring in rings] for rings in on_slide.outlines])


def region_of(labels: LabelImage, region: Region | None, polygons: Polygons | None) -> Region:
    """The smallest region that holds all that is measured. Raises BadRequest where that is nothing."""
    whole = Region.from_shape(labels.shape)
    if region is not None and (region.ndim != whole.ndim or region.is_empty or not whole.contains(region)):
        raise BadRequest(
            f"a region must lie inside the labels and hold a pixel; the labels are {whole!r}, got {region!r}"
        )
    wanted = whole if region is None else region
    if polygons is None:
        return wanted
    found = wanted.intersect(polygons.bounds(labels.shape))
    if found.is_empty:
        raise BadRequest(f"outlines must lie over what is measured, {wanted!r}; they do not; check their coordinates")
    return found


def mask_of(labels: LabelImage, polygons: Polygons | None) -> Callable[[Region], NDArray[np.bool_]] | None:
    """Which pixels of a region are measured; None: all of any."""
    if polygons is None and labels.finished is None:
        return None

    def mask(region: Region) -> NDArray[np.bool_]:
        inside = np.ones(region.shape, bool)
        if polygons is not None:
            inside &= polygons.mask(region)
        if labels.finished is not None and labels.chunk is not None:
            cells = (np.arange(i.lo, i.hi) // c for i, c in zip(region.intervals, labels.chunk, strict=True))
            inside &= labels.finished[np.ix_(*cells)]
        return inside

    return mask
