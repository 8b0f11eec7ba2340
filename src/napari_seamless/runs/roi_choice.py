"""Which part of a result somebody means who measures or saves it: by default what was asked of its runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.runs.annotations import Annotation, annotations_of, is_geojson, read_annotations
from napari_seamless.runs.asked_roi import Asked, Place, asked_of, box_of
from napari_seamless.runs.export_options import COMPUTED
from napari_seamless.runs.polygons import Polygons
from napari_seamless.runs.roi_parts import RoiPart, is_everything
from napari_seamless.store import Store


def chosen_roi(
    result: object, place: Place, shape: Sequence[int], region: Region | None = None, roi: Any = None
) -> tuple[tuple[Asked, ...], tuple[RoiPart, ...]]:
    """A region of pixels of a result and a roi, on the slide and on the result; () where that is all of it.

    A roi is a GeoJSON file, its content, outlines of corners y, x in level-0 pixels of the slide, a Region of these,
    "computed" or, where it is None and there is no region either, what was asked of the result. Raises BadRequest,
    InputNotFound, InputUnreadable.
    """
    whole = Region.from_shape(shape)
    if region is not None and (region.ndim != whole.ndim or region.is_empty or not whole.contains(region)):
        raise BadRequest(f"a region must lie inside the image and hold a pixel; the image is {whole!r}, got {region!r}")
    box = box_of(region or whole, place)
    if roi is None and region is None:
        meant = asked_of(result) if isinstance(result, Store) else ()
        is_said = False
    else:
        meant, is_said = tuple(_meant(roi, box)), True
    placed = [(one, one.on(place, shape)) for one in meant]
    kept = [(one, part) for one, part in placed if part is not None]
    if is_said and not kept:
        raise BadRequest(
            f"outlines must lie over what there is, {(region or whole)!r}; they do not; check their coordinates"
        )
    parts = tuple(part for _, part in kept)
    return ((), ()) if is_everything(parts, shape) else (tuple(one for one, _ in kept), parts)


def _meant(roi: Any, box: tuple[tuple[float, float], ...]) -> Iterator[Asked]:
    if roi is None or (isinstance(roi, str) and roi == COMPUTED):
        yield Asked(box)
    elif isinstance(roi, Region):
        spans = zip(box[-2:], roi.intervals[-2:], strict=True)
        yield Asked((*box[:-2], *((max(lo, i.lo), min(hi, i.hi)) for (lo, hi), i in spans)))
    else:
        yield from (Asked(box, one, name=one.name, classification=one.classification) for one in _drawn(roi))


def _drawn(roi: Any) -> tuple[Annotation, ...]:
    if isinstance(roi, str | Path):
        return read_annotations(Path(roi))
    if is_geojson(roi):
        return annotations_of(roi)
    rings = [np.asarray(ring, np.float64) for ring in roi]
    Polygons.of([[ring] for ring in rings])
    return tuple(Annotation(((ring,),)) for ring in rings)


def parts_of_polygons(polygons: Polygons, shape: Sequence[int]) -> tuple[RoiPart, ...]:
    """Outlines in pixels of a result of this shape. Raises BadRequest where none lies on it."""
    each = [Polygons((rings,)) for rings in polygons.outlines]
    parts = tuple(RoiPart(one.bounds(shape), one) for one in each if not one.bounds(shape).is_empty)
    if not parts:
        raise BadRequest("outlines must lie over what there is; they do not; check their coordinates")
    return parts
