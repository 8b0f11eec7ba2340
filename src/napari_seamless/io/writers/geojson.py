"""Labels as GeoJSON that QuPath imports: an object for each connected part of a class, with its name and colour."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TextIO
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from numpy.typing import NDArray
from shapely import MultiPolygon, get_parts

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.io.slide_position import slide_position
from napari_seamless.io.writers.class_colours import named_and_coloured
from napari_seamless.io.writers.formats import OnProgress
from napari_seamless.io.writers.output_file import Exportable, export_provenance, put_in_place

if TYPE_CHECKING:
    from shapely import Polygon

    from napari_seamless.io.writers.label_outlines import Outline

Kind = Literal["annotation", "detection"]
BAND_PIXELS = 8_000_000


class Within(Protocol):
    """Which objects are saved. `region` is what is read for them, (y, x) of level 0, and `words` say what they are.

    `cuts` says whether an object that may count goes on outside of the region, by its bounding box; then `grow` makes
    this larger. `holds` says whether an object counts, by its centroid (y, x).
    """

    @property
    def region(self) -> Region: ...

    @property
    def words(self) -> str: ...

    def cuts(self, bounds: Region) -> bool: ...

    def grow(self) -> None: ...

    def holds(self, centroid: tuple[float, float]) -> bool: ...


@dataclass(frozen=True, eq=False)
class NumberedLabels:
    """Labels (y, x) that are numbers of objects, by regions; the class of each, and how many pixels it has in all (0:
    some of them lie elsewhere, and its parts are not put together)."""

    read: Callable[[Region], NDArray[Any]]
    classes: Mapping[int, int]
    pixels: Mapping[int, int]


def save_geojson(
    result: Exportable,
    path: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    kind: Kind = "detection",
    within: Within | None = None,
    numbered: Callable[[Region], NumberedLabels] | None = None,
) -> Path:
    """Save labels, finished or not, as a GeoJSON FeatureCollection of polygons at `path`; returns the path.

    Coordinates are level-0 pixels of the slide, x first, along the edges of pixels; those of the labels themselves
    where nobody said how they lie on a slide. Label 0 is background. An object is a connected part of one label, whole
    wherever tiles were cut; of those `within` only some are saved, whole. `kind` is what QuPath makes of it.
    `numbered` tells objects of a region apart where parts of a class are none: then an object has all its pixels, and
    is a MultiPolygon where these lie apart. `on_progress` gets (rows done, rows in all).

    Memory: a band of rows (8 million pixels), and the outlines that it cuts. Any thread.

    Raises BadRequest for images and volumes, and for another suffix; OutputExists, OutputUnwritable.
    """
    path = Path(path)
    if path.suffix.lower() != ".geojson":
        raise BadRequest(f"GeoJSON has a name that ends in .geojson; got {path.name!r}; try {path.stem}.geojson")
    check_outlines(result.kind, result.info.ndim)
    with put_in_place(path, overwrite=overwrite) as file:
        while True:
            with file.open("w", encoding="utf-8") as text:
                is_whole = _write(text, result, kind, within, numbered, on_progress)
            if is_whole or within is None:
                return path
            within.grow()


def _write(
    text: TextIO,
    result: Exportable,
    kind: Kind,
    within: Within | None,
    numbered: Callable[[Region], NumberedLabels] | None,
    on_progress: OnProgress | None,
) -> bool:
    """Whether it was written to its end: not so where an object is cut by what was read."""
    facts = export_provenance(result)
    text.write('{"type": "FeatureCollection", "napari-seamless": ')
    json.dump(facts if within is None else {**facts, "roi": within.words}, text)
    text.write(', "features": [')
    before = "\n"
    identity = result.info.identity
    for outline in _outlines(result, within, numbered, on_progress):
        if within is not None:
            left, top, right, bottom = map(int, outline[1].bounds)
            if within.cuts(Region.of((top, bottom), (left, right))):
                return False
            if not within.holds(centroid_of(outline[1])):
                continue
        text.write(before)
        json.dump(_feature(result, identity, outline, kind), text, separators=(",", ":"))
        before = ",\n"
    text.write("\n]}\n")
    return True


def _outlines(
    result: Exportable,
    within: Within | None,
    numbered: Callable[[Region], NumberedLabels] | None,
    on_progress: OnProgress | None,
) -> Iterator[Outline]:
    """Classes and outlines, as they are closed."""
    labels = result.levels[0]
    region = Region.from_shape(labels.shape) if within is None else within.region
    if numbered is None:
        yield from _parts(lambda at: np.asarray(labels[at.slices()]), region, on_progress)
        return
    objects = numbered(region)
    left: dict[int, tuple[int, list[Polygon]]] = {}
    for number, polygon in _parts(objects.read, region, on_progress):
        pixels, pieces = left.pop(number, (objects.pixels[number], []))
        pixels, pieces = pixels - round(polygon.area), [*pieces, polygon]
        if pixels > 0:
            left[number] = pixels, pieces
        else:
            yield objects.classes[number], pieces[0] if len(pieces) == 1 else MultiPolygon(pieces)


def _parts(read: Callable[[Region], NDArray[Any]], region: Region, on_progress: OnProgress | None) -> Iterator[Outline]:
    """Labels and outlines of their connected parts."""
    from napari_seamless.io.writers.label_outlines import Outlines

    (top, bottom), (left, right) = ((i.lo, i.hi) for i in region.intervals)
    rows = max(1, min(bottom - top, BAND_PIXELS // (right - left)))
    found = Outlines(corner=(top, left))
    for row in range(top, bottom, rows):
        end = min(row + rows, bottom)
        yield from found.add(read(Region.of((row, end), (left, right))))
        if on_progress is not None:
            on_progress(end - top, bottom - top)
    yield from found.close()


def centroid_of(outline: Polygon | MultiPolygon) -> tuple[float, float]:
    """(y, x) of the pixels in an outline, whose centres lie at whole numbers; from whole numbers, so that a centroid on
    an edge lies on it."""
    left, top = (int(corner) for corner in outline.bounds[:2])
    area = down = along = 0
    for ring in (ring for polygon in get_parts(outline) for ring in (polygon.exterior, *polygon.interiors)):
        x, y = (np.asarray(ring.coords).T - np.array([[left], [top]])).astype(np.int64)
        cross = x[:-1] * y[1:] - x[1:] * y[:-1]
        area += int(cross.sum())
        down += int(((y[:-1] + y[1:]) * cross).sum())
        along += int(((x[:-1] + x[1:]) * cross).sum())
    return down / (3 * area) + top - 0.5, along / (3 * area) + left - 0.5


def _feature(result: Exportable, identity: str, outline: Outline, kind: Kind) -> dict[str, Any]:
    """QuPath refuses a file with a class that has a name but no colour, so that there is one always.

    The id is a UUID that is the same whenever and however often the object is saved, since no two objects of a result
    have the same first corner.
    """
    value, shape = outline
    name, colour = named_and_coloured(result.classes, value)
    polygons = [
        [np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors)] for polygon in get_parts(shape)
    ]
    first = min((y, x) for rings in polygons for x, y in rings[0].tolist())
    placed = [[_on_slide(ring, result) for ring in rings] for rings in polygons]
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"{identity}/{first}")),
        "geometry": {"type": shape.geom_type, "coordinates": placed if len(placed) > 1 else placed[0]},
        "properties": {"objectType": kind, "classification": {"name": name, "color": colour}},
    }


def _on_slide(corners: np.ndarray[Any, np.dtype[np.float64]], result: Exportable) -> list[list[float]]:
    """Corners of the result's pixels, (n, x and y), as the slide counts: whole numbers where they are."""
    position = slide_position(result.provenance, result.info.ndim)
    if position is not None:
        scale, offset = (np.asarray(numbers)[::-1] for numbers in (position.scale, position.offset))
        corners = (corners - 0.5) * scale + offset + 0.5
    rounded = np.round(corners, 3)
    whole = rounded.astype(np.int64)
    found: list[list[float]] = (whole if (whole == rounded).all() else rounded).tolist()
    return found


def check_outlines(kind: str, ndim: int) -> None:
    """Raise BadRequest for what has none: images, and volumes."""
    if kind != "labels" or ndim != 2:
        raise BadRequest(
            f"only labels of a plane have outlines; got {'a volume of ' if ndim == 3 else 'an '}{kind}; "
            "save it as .ome.zarr or .ome.tif"
        )
