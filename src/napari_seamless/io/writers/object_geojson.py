"""Objects as GeoJSON that QuPath imports as detections: whole outlines, classes with colours, measurements.

As QuPath reads it: a classification has a "name" (or "names", where it is derived from another) and a "color", or the
whole file is refused; "measurements" are numbers by name; the "id" is a UUID.
"""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import shapely

from napari_seamless.io.writers.class_colours import named_and_coloured
from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows
from napari_seamless.io.writers.output_file import put_in_place

POSITIVE, NEGATIVE = ("Positive", [250, 62, 62]), ("Negative", [112, 112, 225])
"""The names that QuPath knows, and their colours."""


@contextmanager
def geojson_file(path: Path, file: ObjectFile, *, overwrite: bool = False) -> Iterator[Callable[[ObjectRows], None]]:
    """An `ObjectWriter`: a FeatureCollection in level-0 pixels of the slide.

    A column `positive` makes classes derived: "nucleus: Positive". Numbers have 6 digits; what is no number, as the
    distance to a neighbour that there is not, is left out.
    """
    with put_in_place(path, overwrite=overwrite) as partial, partial.open("w", encoding="utf-8") as text:
        text.write('{"type": "FeatureCollection", "napari-seamless": ')
        json.dump(dict(file.provenance), text)
        text.write(', "features": [')
        before = "\n"

        def write(rows: ObjectRows) -> None:
            nonlocal before
            for feature in _features(rows, file):
                text.write(before + feature)
                before = ",\n"

        yield write
        text.write("\n]}\n")


def _features(rows: ObjectRows, file: ObjectFile) -> Iterator[str]:
    columns = dict(rows.columns)
    classes = _classifications(columns["label"].tolist(), columns.pop("positive", None), file.classes)
    numbers = {json.dumps(name): c.tolist() for name, c in columns.items() if c.dtype.kind in "biuf"}
    geometries = shapely.to_geojson(rows.outlines)
    for row, (number, geometry) in enumerate(zip(columns["id"].tolist(), geometries, strict=True)):
        identity = uuid5(NAMESPACE_URL, f"{file.identity}/object/{number}")
        measured = ",".join(f"{name}:{_number(c[row])}" for name, c in numbers.items() if isfinite(c[row]))
        yield (
            f'{{"type":"Feature","id":"{identity}","geometry":{geometry},"properties":'
            f'{{"objectType":"detection","classification":{classes[row]},"measurements":{{{measured}}}}}}}'
        )


def _number(value: float) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(int(value))


def _classifications(labels: list[int], positive: Any, classes: Any) -> list[str]:
    """The JSON of the class of each."""
    made: dict[tuple[int, bool | None], str] = {}
    for value in set(labels):
        name, colour = named_and_coloured(classes, value)
        made[value, None] = json.dumps({"name": name, "color": colour})
        for holds, (derived, its_colour) in ((True, POSITIVE), (False, NEGATIVE)):
            made[value, holds] = json.dumps({"names": [name, derived], "color": its_colour})
    told = [None] * len(labels) if positive is None else positive.tolist()
    return [made[key] for key in zip(labels, told, strict=True)]
