"""The settings of the dock as a script and as a command line that make the same result. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_seamless.geometry import Region
from napari_seamless.runs.config import OPTIONS, RunConfig
from napari_seamless.runs.option import flag_of, option_of

SHAPES = "roi.geojson"


@dataclass(frozen=True)
class Settings:
    """What a run is made of.

    `model` is a name or a path, with the `architecture` and its `arguments` (JSON) of a file of weights. `image` is the
    path of the image, or None where it is only in the viewer, as a layer called `layer`. The rest is in `config`.
    """

    model: str
    image: str | None
    layer: str
    config: RunConfig
    architecture: str = ""
    arguments: str = "{}"


def as_python(run: Settings) -> str:
    """A script. An image that is in no file is named as a layer of `viewer`, as in napari's console."""
    lines = ["import napari_seamless as ns", ""]
    model = repr(run.model)
    if run.architecture:
        arguments = json.loads(run.arguments)
        lines.append(f"model = ns.load_model({model}, architecture={run.architecture!r}, arguments={arguments!r})")
        model = "model"
    image = f"viewer.layers[{run.layer!r}]" if run.image is None else repr(run.image)
    said = (f"    {name}={_code(value)}," for name, value in run.config.non_defaults().items())
    lines += ["result = ns.run(", f"    {model},", f"    {image},", *said, ")", "print(result.report)", ""]
    return "\n".join(lines)


def as_command(run: Settings) -> str:
    """A line for a POSIX shell. An image that is in no file has none: the name of a file to save it to stands there."""
    words = ["napari-seamless", "run", run.image or f"{run.layer}.ome.tif", "--model", run.model]
    if run.architecture:
        words += ["--architecture", run.architecture]
        words += [] if run.arguments == "{}" else ["--arguments", run.arguments]
    drawn = ""
    for name, value in run.config.non_defaults().items():
        if name == "roi" and isinstance(value, tuple | Mapping):
            text = json.dumps(value) if isinstance(value, Mapping) else geojson(value)
            drawn, value = f"echo {shlex.quote(text)} > {SHAPES} && ", SHAPES
        option = option_of(OPTIONS[name])
        if option.in_shell:
            words += [flag_of(name)] if option.kind is bool else [flag_of(name), option.text(value)]
    return drawn + shlex.join(words)


def geojson(polygons: Sequence[Sequence[Sequence[float]]]) -> str:
    """Polygons, each (n, 2) of (y, x), as a GeoJSON FeatureCollection, x first."""
    features = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {"type": "Polygon", "coordinates": [[[x, y] for y, x in [*points, points[0]]]]},
        }
        for points in ([_pair(point) for point in polygon] for polygon in polygons)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


def _code(value: Any) -> str:
    """A value of an option as Python."""
    match value:
        case Region():
            return f"ns.Region.of({', '.join(f'({i.lo}, {i.hi})' for i in value.intervals)})"
        case Path():
            return repr(str(value))
        case tuple() if value and isinstance(value[0], tuple):
            return repr([[_pair(point) for point in polygon] for polygon in value])
    return repr(value)


def _pair(point: Sequence[float]) -> tuple[float, float]:
    y, x = (round(float(number), 2) for number in point)
    return y, x
