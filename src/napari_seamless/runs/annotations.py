"""Annotations in GeoJSON, as QuPath and this package write them: outlines in pixels of the slide, along their edges."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, InputNotFound, InputUnreadable

Ring = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Annotation:
    """What somebody drew: polygons, each a tuple of rings (its outer one and its holes) of corners (n, 2), y before x,
    in level-0 pixels of the slide, where pixel i covers [i, i + 1); its name and its class, "" where it has none."""

    polygons: tuple[tuple[Ring, ...], ...]
    name: str = ""
    classification: str = ""


def read_annotations(path: Path) -> tuple[Annotation, ...]:
    """The annotations in a GeoJSON file. Raises InputNotFound, and what `annotations_of` raises."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise InputNotFound(f"outlines come from a GeoJSON file; there is none at {path}; check the path") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputUnreadable(
            f"outlines come from a GeoJSON file; {path} cannot be read as one: {error}; export it anew"
        ) from error
    return annotations_of(found)


def annotations_of(found: Any) -> tuple[Annotation, ...]:
    """Those of GeoJSON that was read: a geometry, a feature, a collection or a plain list of any of these.

    Points and lines enclose nothing and are passed over. Raises BadRequest, InputUnreadable.
    """
    try:
        annotations = tuple(_annotations(found))
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError, RecursionError) as error:
        raise InputUnreadable(
            f"GeoJSON has polygons as lists of rings of x and y; got something else: {error}; export it anew"
        ) from error
    if not annotations:
        raise BadRequest("outlines must enclose something; got GeoJSON without a polygon in it; draw one")
    return annotations


def is_geojson(what: Any) -> bool:
    """Whether something is GeoJSON that was read, and not a list of corners."""
    return isinstance(what, Mapping) or (isinstance(what, list | tuple) and bool(what) and isinstance(what[0], Mapping))


def _annotations(found: Any) -> Iterator[Annotation]:
    if isinstance(found, list | tuple):
        for entry in found:
            yield from _annotations(entry)
    elif isinstance(found, Mapping):
        match found.get("type"):
            case "FeatureCollection":
                yield from _annotations(found["features"])
            case "Feature":
                polygons = tuple(_polygons(found["geometry"]))
                if polygons:
                    yield Annotation(polygons, *_names(found.get("properties") or {}))
            case _:
                for polygon in _polygons(found):
                    yield Annotation((polygon,))


def _polygons(geometry: Any) -> Iterator[tuple[Ring, ...]]:
    if not isinstance(geometry, Mapping):
        return
    match geometry.get("type"):
        case "GeometryCollection":
            for part in geometry["geometries"]:
                yield from _polygons(part)
        case "Polygon":
            yield _rings(geometry["coordinates"])
        case "MultiPolygon":
            for coordinates in geometry["coordinates"]:
                yield _rings(coordinates)


def _rings(coordinates: Any) -> tuple[Ring, ...]:
    return tuple(np.asarray([corner[:2] for corner in ring], np.float64)[:, ::-1] for ring in coordinates)


def _names(properties: Mapping[str, Any]) -> tuple[str, str]:
    """The name of a feature, and that of its class: QuPath has written this one in three ways."""
    kind = properties.get("classification") or ""
    if isinstance(kind, Mapping):
        kind = kind.get("name") or ": ".join(kind.get("names") or ())
    return str(properties.get("name") or ""), str(kind)
