"""What was asked of a result: kept beside it as GeoJSON, so that numbers, pictures and exports can speak of just that.

Runs make whole chunks, so there are more pixels than somebody asked for. Each run adds what it was asked for, in
level-0 pixels of the slide; `asked_parts` says where that lies on a result's own pixels.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval, Levels, Region
from napari_seamless.io.slide_position import TO_SLIDE
from napari_seamless.runs.annotations import Annotation, annotations_of
from napari_seamless.runs.polygons import Polygons
from napari_seamless.runs.roi_parts import PlaneMask, RoiPart, is_everything

ROI = "roi.geojson"
OWN = "napari-seamless"

Place = tuple[tuple[float, ...], tuple[float, ...]]
"""(scale, offset): pixel o of a result has its centre at o * scale + offset of the slide, (z,) y, x."""


class KeepsFiles(Protocol):
    """A result that has small files beside it: a store."""

    def keep(self, name: str, content: bytes) -> None: ...

    def kept(self, name: str) -> bytes | None: ...


@dataclass(frozen=True, eq=False)
class Asked:
    """One thing that was asked for: what lies within `box`, (lo, hi) an axis in level-0 pixels of the slide along their
    edges, and inside the polygons of `drawn` and the `mask`, (y, x) over an image of the `extent` (height, width)."""

    box: tuple[tuple[float, float], ...]
    drawn: Annotation | None = None
    mask: NDArray[np.bool_] | None = None
    extent: tuple[float, float] | None = None
    name: str = ""
    classification: str = ""
    when: str = ""

    def on(self, place: Place, shape: Sequence[int]) -> RoiPart | None:
        """Where it lies on a result of this shape; None where it has no pixel of it."""
        region = _pixels_within(self.box, place, shape)
        if region is None:
            return None
        drawn = None if self.drawn is None else part_of_annotation(self.drawn, place, shape)
        if self.drawn is not None:
            if drawn is None:
                return None
            region = region.intersect(drawn.region)
        mask = None
        if self.mask is not None and self.extent is not None:
            scale, offset = ((float(n[-2]), float(n[-1])) for n in place)
            mask = PlaneMask(self.mask, self.extent, scale, offset)
        polygons = None if drawn is None else drawn.polygons
        return None if region.is_empty else RoiPart(region, polygons, mask, self.name, self.classification)


def part_of_annotation(drawn: Annotation, place: Place, shape: Sequence[int]) -> RoiPart | None:
    """An annotation on a result of this shape; None where it has no pixel of it. Raises BadRequest."""
    scale, offset = (np.asarray(numbers[-2:]) for numbers in place)
    polygons = Polygons.of([[(ring - 0.5 - offset) / scale for ring in rings] for rings in drawn.polygons])
    bounds = polygons.bounds(shape)
    return None if bounds.is_empty else RoiPart(bounds, polygons, None, drawn.name, drawn.classification)


def box_of(region: Region, place: Place) -> tuple[tuple[float, float], ...]:
    """Pixels of a result as a box on the slide, along the edges of pixels."""
    return tuple(
        ((i.lo - 0.5) * s + o + 0.5, (i.hi - 0.5) * s + o + 0.5)
        for i, s, o in zip(region.intervals, *place, strict=True)
    )


def asked_parts(result: KeepsFiles, place: Place, shape: Sequence[int]) -> tuple[RoiPart, ...]:
    """What was asked of a result so far, on its own pixels; () where that is all of it, or nobody wrote it down."""
    parts = placed(asked_of(result), place, shape)
    return () if is_everything(parts, shape) else parts


def placed(asked: Iterable[Asked], place: Place, shape: Sequence[int]) -> tuple[RoiPart, ...]:
    """What was asked for, on a result of this shape; nothing of what has no pixel of it."""
    found = (one.on(place, shape) for one in asked)
    return tuple(part for part in found if part is not None)


def asked_levels(result: KeepsFiles, provenance: Mapping[str, Any], levels: Levels) -> tuple[tuple[RoiPart, ...], ...]:
    """The same on every level of a result, the finest first; () where that is all of it."""
    scale, offset = place_of(provenance, levels.ndim)
    asked = asked_of(result)
    found = []
    for level in range(len(levels)):
        factors, starts = ([float(n) for n in numbers] for numbers in (levels.scale(level), levels.offset(level)))
        place = (
            tuple(s * f for s, f in zip(scale, factors, strict=True)),
            tuple(o + s * at for o, s, at in zip(offset, scale, starts, strict=True)),
        )
        found.append(placed(asked, place, levels.shape(level)))
    return () if not asked or is_everything(found[0], levels.shape(0)) else tuple(found)


def place_of(provenance: Mapping[str, Any], ndim: int) -> Place:
    """Where a result lies on its slide, as its provenance says; one to one where that says nothing."""
    said = provenance.get(TO_SLIDE, {})
    return tuple(said.get("scale", (1.0,) * ndim)), tuple(said.get("offset", (0.0,) * ndim))


def asked_of(result: KeepsFiles) -> tuple[Asked, ...]:
    """What was asked of a result so far, the earliest first."""
    written = result.kept(ROI)
    if written is None:
        return ()
    features = json.loads(written).get("features", ())
    return tuple(_asked(feature, result) for feature in features if OWN in feature.get("properties", {}))


def add_asked(result: KeepsFiles, more: Sequence[Asked]) -> None:
    """Add to what was asked of a result; what was asked in the same way before is not repeated.

    Raises OutputUnwritable.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    written = result.kept(ROI)
    features = [] if written is None else list(json.loads(written).get("features", ()))
    known = {_key(feature) for feature in features}
    for asked in more:
        feature = _feature(asked, now, result)
        if _key(feature) not in known:
            known.add(_key(feature))
            features.append(feature)
    result.keep(ROI, json.dumps({"type": "FeatureCollection", "features": features}).encode())


def _pixels_within(box: Sequence[tuple[float, float]], place: Place, shape: Sequence[int]) -> Region | None:
    """The pixels whose centres lie in a box on the slide; a millionth of a pixel is nothing."""
    spans = []
    for (low, high), scale, offset, size in zip(box, *place, shape, strict=True):
        first, last = (int(np.ceil((edge - 0.5 - offset) / scale - 1e-6)) for edge in (low, high))
        spans.append((min(max(first, 0), size), min(max(last, 0), size)))
    if any(low >= high for low, high in spans):
        return None
    return Region(tuple(Interval(*span) for span in spans))


def _feature(asked: Asked, now: str, result: KeepsFiles) -> dict[str, Any]:
    said: dict[str, Any] = {"asked": asked.when or now, "box": [list(span) for span in asked.box]}
    if asked.mask is not None and asked.extent is not None:
        packed = io.BytesIO()
        np.savez_compressed(packed, mask=asked.mask)
        digest = sha256(repr(asked.mask.shape).encode() + np.packbits(asked.mask).tobytes()).hexdigest()[:16]
        name = f"roi-{digest}.npz"
        result.keep(name, packed.getvalue())
        said |= {"mask": name, "extent": list(asked.extent)}
    named: dict[str, Any] = {"objectType": "annotation"}
    named |= {"name": asked.name} if asked.name else {}
    named |= {"classification": {"name": asked.classification, "color": [255, 200, 0]}} if asked.classification else {}
    drawn = asked.drawn is not None
    polygons = asked.drawn.polygons if asked.drawn is not None else (corners_of(asked.box),)
    coordinates = [[_closed(ring) for ring in rings] for rings in polygons]
    return {
        "type": "Feature",
        "geometry": {"type": "MultiPolygon", "coordinates": coordinates}
        if len(coordinates) > 1
        else {"type": "Polygon", "coordinates": coordinates[0]},
        "properties": {**named, OWN: {**said, "drawn": drawn}},
    }


def _asked(feature: Mapping[str, Any], result: KeepsFiles) -> Asked:
    (annotation,) = annotations_of(feature)
    said = feature["properties"][OWN]
    packed = result.kept(said["mask"]) if "mask" in said else None
    return Asked(
        box=tuple((float(low), float(high)) for low, high in said["box"]),
        drawn=annotation if said["drawn"] else None,
        mask=None if packed is None else np.load(io.BytesIO(packed))["mask"],
        extent=tuple(said["extent"]) if "extent" in said else None,
        name=annotation.name,
        classification=annotation.classification,
        when=str(said["asked"]),
    )


def _key(feature: Mapping[str, Any]) -> str:
    """Everything but when it was asked."""
    properties = dict(feature.get("properties", {}))
    own = {key: value for key, value in properties.pop(OWN, {}).items() if key != "asked"}
    return json.dumps([feature.get("geometry"), properties, own], sort_keys=True)


def corners_of(box: Sequence[tuple[float, float]]) -> tuple[NDArray[np.float64], ...]:
    """The outline of a box in y and x, as one ring."""
    (top, bottom), (left, right) = box[-2:]
    return (np.array([(top, left), (top, right), (bottom, right), (bottom, left)], np.float64),)


def _closed(ring: NDArray[np.float64]) -> list[list[float]]:
    corners: list[list[float]] = ring[:, ::-1].tolist()
    return corners if corners[0] == corners[-1] else [*corners, corners[0]]
