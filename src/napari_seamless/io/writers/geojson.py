"""Labels as GeoJSON that QuPath imports: an object for each connected part of a class, with its name and colour."""

from __future__ import annotations

import json
from collections.abc import Iterator
from colorsys import hsv_to_rgb
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.writers.formats import OnProgress
from napari_seamless.io.writers.output_file import Exportable, export_provenance, put_in_place

if TYPE_CHECKING:
    from napari_seamless.io.writers.label_outlines import Outline

Kind = Literal["annotation", "detection"]
BAND_PIXELS = 8_000_000
GOLDEN = 0.618034
TO_SLIDE = "to_slide"
"""The key of the provenance that says where a result lies on its slide: `scale` and `offset` of pixel centres, in
level-0 pixels of the slide, one number an axis."""


def save_geojson(
    result: Exportable,
    path: str | Path,
    *,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
    kind: Kind = "detection",
) -> Path:
    """Save labels, finished or not, as a GeoJSON FeatureCollection of polygons at `path`; returns the path.

    Coordinates are level-0 pixels of the slide, x first, along the edges of pixels; those of the labels themselves
    where nobody said how they lie on a slide. Label 0 is background. An object is a connected part of one label, whole
    wherever tiles were cut. `kind` is what QuPath makes of it. `on_progress` gets (rows done, rows in all).

    Memory: a band of rows (8 million pixels), and the outlines that it cuts. Any thread.

    Raises BadRequest for images and volumes, for another suffix and where shapely or scikit-image are not installed;
    OutputExists, OutputUnwritable.
    """
    path = Path(path)
    if path.suffix.lower() != ".geojson":
        raise BadRequest(f"GeoJSON has a name that ends in .geojson; got {path.name!r}; try {path.stem}.geojson")
    if result.kind != "labels" or result.info.ndim != 2:
        raise BadRequest(
            f"only labels of a plane have outlines; got {'a volume of ' if result.info.ndim == 3 else 'an '}"
            f"{result.kind}; save it as .ome.zarr or .ome.tif"
        )
    missing = [name for name in ("shapely", "skimage") if find_spec(name) is None]
    if missing:
        raise BadRequest(
            f'GeoJSON needs shapely and scikit-image; got none of {missing}; pip install "napari-seamless[geojson]"'
        )
    with put_in_place(path, overwrite=overwrite) as file, file.open("w", encoding="utf-8") as text:
        _write(text, result, kind, on_progress)
    return path


def _write(text: TextIO, result: Exportable, kind: Kind, on_progress: OnProgress | None) -> None:
    text.write('{"type": "FeatureCollection", "napari-seamless": ')
    json.dump(export_provenance(result), text)
    text.write(', "features": [')
    before = "\n"
    identity = result.info.identity
    for outline in _outlines(result, on_progress):
        text.write(before)
        json.dump(_feature(result, identity, outline, kind), text, separators=(",", ":"))
        before = ",\n"
    text.write("\n]}\n")


def _outlines(result: Exportable, on_progress: OnProgress | None) -> Iterator[Outline]:
    from napari_seamless.io.writers.label_outlines import Outlines

    labels = result.levels[0]
    height, width = labels.shape
    rows = max(1, min(height, BAND_PIXELS // width))
    found = Outlines()
    for top in range(0, height, rows):
        yield from found.add(np.asarray(labels[top : min(top + rows, height)]))
        if on_progress is not None:
            on_progress(min(top + rows, height), height)
    yield from found.close()


def _feature(result: Exportable, identity: str, outline: Outline, kind: Kind) -> dict[str, Any]:
    """QuPath refuses a file with a class that has a name but no colour, so that there is one always.

    The id is a UUID that is the same whenever and however often the object is saved, since no two objects of a result
    have the same first corner.
    """
    value, polygon = outline
    known = next((c for c in result.classes if c.value == value), None)
    name, colour = (
        (LabelClass.default_name(value), _made_up(value)) if known is None else (known.name, _rgb(known.colour))
    )
    rings = [np.asarray(ring.coords) for ring in (polygon.exterior, *polygon.interiors)]
    first = min((y, x) for x, y in rings[0].tolist())
    return {
        "type": "Feature",
        "id": str(uuid5(NAMESPACE_URL, f"{identity}/{first}")),
        "geometry": {"type": "Polygon", "coordinates": [_on_slide(ring, result) for ring in rings]},
        "properties": {"objectType": kind, "classification": {"name": name, "color": colour}},
    }


def _on_slide(corners: np.ndarray[Any, np.dtype[np.float64]], result: Exportable) -> list[list[float]]:
    """Corners of the result's pixels, (n, x and y), as the slide counts: whole numbers where they are."""
    to_slide = result.provenance.get(TO_SLIDE)
    if to_slide is not None:
        scale, offset = (np.asarray(to_slide[key], float)[::-1] for key in ("scale", "offset"))
        corners = (corners - 0.5) * scale + offset + 0.5
    rounded = np.round(corners, 3)
    whole = rounded.astype(np.int64)
    found: list[list[float]] = (whole if (whole == rounded).all() else rounded).tolist()
    return found


def _rgb(colour: str) -> list[int]:
    return list(bytes.fromhex(colour.removeprefix("#")))


def _made_up(value: int) -> list[int]:
    """A colour for a label that nobody named: another hue for every number, neighbours far apart."""
    return [round(255 * part) for part in hsv_to_rgb(value * GOLDEN % 1, 0.8, 0.9)]
