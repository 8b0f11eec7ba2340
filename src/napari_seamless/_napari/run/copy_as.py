"""The settings of the dock as a script and as a command line that make the same result. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region

WHERE = "where.geojson"


@dataclass(frozen=True)
class Settings:
    """What a run is made of.

    `image` is the path of the image, or None where it is only in the viewer, as a layer called `layer`. `region` is in
    level-0 pixels, `where` as in `start`. `settings` are further arguments of `start`.
    """

    model: str
    image: str | None
    layer: str
    output: Path
    scene: str = ""
    axes: str | None = None
    plane: Mapping[str, int] = field(default_factory=dict)
    channels: tuple[int, ...] | None = None
    architecture: str = ""
    arguments: str = "{}"
    pixel_size: float | None = None
    region: Region | None = None
    where: Sequence[NDArray[np.float64]] | None = None
    budget: int | None = None
    tile: int | None = None
    approximate: bool = False
    settings: Mapping[str, Hashable] = field(default_factory=dict)


def as_python(run: Settings) -> str:
    """A script. An image that is in no file is named as a layer of `viewer`, as in napari's console."""
    lines = ["import napari_seamless as ns", ""]
    image = f"viewer.layers[{run.layer!r}]" if run.image is None else repr(run.image)
    said = (("scene", run.scene), ("axes", run.axes), ("plane", dict(run.plane)))
    extra = [f"{name}={value!r}" for name, value in said if value]
    if extra or run.channels is not None:
        lines.append(f"image = ns.open_image({', '.join([image, *extra])})")
        image = "image"
    if run.channels is not None:
        lines[0] += "\nfrom napari_seamless import select"
        lines.append(f"image = select(image, channels={run.channels!r})")
    model = repr(run.model)
    if run.architecture:
        arguments = json.loads(run.arguments)
        lines.append(f"model = ns.load_model({model}, architecture={run.architecture!r}, arguments={arguments!r})")
        model = "model"
    lines += ["result = ns.run(", f"    {model},", f"    {image},"]
    lines += [f"    {name}={value}," for name, value in _arguments(run)]
    return "\n".join([*lines, ")", "print(result.report)", ""])


def as_command(run: Settings) -> str:
    """A line for a POSIX shell. An image that is in no file has none: the name of a file to save it to stands there."""
    words = ["napari-seamless", "run", run.image or f"{run.layer}.ome.tif", "--model", run.model]
    words += ["--output", str(run.output)]
    if run.region is not None:
        words += ["--region", ",".join(f"{i.lo}:{i.hi}" for i in run.region.intervals)]
    options: list[tuple[str, Any]] = [
        ("--scene", run.scene),
        ("--axes", run.axes),
        ("--plane", ",".join(f"{letter}={number}" for letter, number in run.plane.items())),
        ("--channels", run.channels and ",".join(map(str, run.channels))),
        ("--architecture", run.architecture),
        ("--arguments", run.arguments if run.architecture and run.arguments != "{}" else None),
        ("--pixel-size", run.pixel_size),
        ("--within", WHERE if run.where is not None else None),
        ("--budget", run.budget),
        ("--tile", run.tile),
        ("--statistics", run.settings.get("statistics")),
        ("--keep", run.settings.get("keep")),
    ]
    words += [word for name, value in options if value for word in (name, str(value))]
    words += ["--approximate"] if run.approximate else []
    words += ["--tissue-only"] if run.settings.get("tissue_only") else []
    command = shlex.join(words)
    if run.where is None:
        return command
    return f"echo {shlex.quote(geojson(run.where))} > {WHERE} && {command}"


def geojson(polygons: Sequence[NDArray[np.float64]]) -> str:
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


def _arguments(run: Settings) -> Iterator[tuple[str, str]]:
    """Keyword arguments of `ns.run`, as text."""
    if run.region is not None:
        yield "region", f"ns.Region.of({', '.join(f'({i.lo}, {i.hi})' for i in run.region.intervals)})"
    if run.where is not None:
        yield "where", repr([[_pair(point) for point in polygon] for polygon in run.where])
    for name, value in (("pixel_size", run.pixel_size), ("budget", run.budget), ("tile", run.tile)):
        if value is not None:
            yield name, repr(value)
    yield from ((name, repr(value)) for name, value in sorted(run.settings.items()))
    if run.approximate:
        yield "approximate", "True"
    yield "output", repr(str(run.output))


def _pair(point: NDArray[np.float64]) -> tuple[float, float]:
    y, x = (round(float(number), 2) for number in point)
    return y, x
