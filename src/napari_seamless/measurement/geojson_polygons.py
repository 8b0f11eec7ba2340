"""Outlines in GeoJSON, as QuPath and this package write them: in pixels of the slide, x before y, along their edges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.errors import BadRequest, InputNotFound, InputUnreadable
from napari_seamless.measurement.polygons import Polygons


def read_geojson(path: Path) -> Any:
    """The GeoJSON in a file. Raises InputNotFound, InputUnreadable."""
    try:
        return json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputNotFound(f"outlines come from a GeoJSON file; there is none at {path}; check the path") from None
    except (OSError, ValueError) as error:
        raise InputUnreadable(f"outlines come from a GeoJSON file; {path} cannot be read as one: {error}") from error


def polygons_of_geojson(found: Any, scale: Sequence[float], offset: Sequence[float]) -> Polygons:
    """The polygons of GeoJSON, in pixels of labels. Points and lines enclose nothing and are passed over.

    The centre of label pixel o lies at that of pixel o * scale + offset of the slide, y and x. Raises BadRequest,
    InputUnreadable.
    """
    outlines = []
    try:
        for polygon in _polygons(found):
            rings = [np.asarray([corner[:2] for corner in ring], np.float64)[:, ::-1] for ring in polygon]
            outlines.append([(ring - 0.5 - np.asarray(offset)) / np.asarray(scale) for ring in rings])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputUnreadable(
            f"GeoJSON has polygons as lists of rings of x and y; got something else: {error}"
        ) from error
    if not outlines:
        raise BadRequest("outlines must enclose something; got GeoJSON without a polygon in it; draw one")
    return Polygons.of(outlines)


def _polygons(found: Any) -> Iterator[Any]:
    if isinstance(found, list):
        for entry in found:
            yield from _polygons(entry)
    elif isinstance(found, Mapping):
        match found.get("type"):
            case "FeatureCollection":
                yield from _polygons(found["features"])
            case "Feature":
                yield from _polygons(found["geometry"])
            case "GeometryCollection":
                yield from _polygons(found["geometries"])
            case "Polygon":
                yield found["coordinates"]
            case "MultiPolygon":
                yield from found["coordinates"]
