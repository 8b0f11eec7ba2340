"""Pixel size and channel names of a TIFF file, from whichever of its dialects says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf
from typing import Any
from xml.etree import ElementTree

from napari_seamless.io.readers.tiff_parsed import Metadata
from napari_seamless.units import micrometres_in

UNITS_OF_RESOLUTION = {2: "inch", 3: "centimeter"}
"""Values of TIFF's tag 296."""
# a resolution tag that gives pixels larger than this (some 1200 dpi) was written for a printer, not by a microscope
LARGEST_BELIEVED = 20.0
Sizes = Mapping[str, float]


def pixel_sizes(metadata: Metadata, number: int = 0) -> Sizes:
    """Micrometres per level-0 pixel of an image, under `z`, `y`, `x`; empty where the file does not say."""
    match metadata.dialect:
        case "svs":
            return _aperio(metadata.description)
        case "ome":
            return _ome(metadata, number)
        case "imagej":
            return _imagej(metadata)
    return _resolution(metadata)


def channel_names(metadata: Metadata, number: int = 0) -> tuple[str, ...]:
    """Names of the channels of an OME-TIFF's image, or nothing."""
    pixels = _ome_pixels(metadata, number)
    names = [] if pixels is None else [c.get("Name", "") for c in pixels.findall("{*}Channel")]
    return tuple(names) if all(names) else ()


def _positive(text: Any) -> float | None:
    """A number above zero; None for anything else, since a pixel size that makes no sense must not stop an image."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return None
    return number if 0 < number < inf else None


def _aperio(description: str) -> Sizes:
    found = re.search(r"MPP\s*=\s*([0-9.eE+-]+)", description)
    size = _positive(found[1]) if found else None
    return dict.fromkeys("yx", size) if size else {}


def _ome_pixels(metadata: Metadata, number: int) -> ElementTree.Element | None:
    """The description of an image: by its number, or by its name where tifffile has left images out."""
    if not metadata.ome_xml:
        return None
    try:
        images = ElementTree.fromstring(metadata.ome_xml).findall("{*}Image")
    except ElementTree.ParseError:
        return None
    if len(images) != metadata.images:
        images = [image for image in images if image.get("Name") == metadata.name] or images[:1]
        number = 0
    return images[number].find("{*}Pixels") if images else None


def _ome(metadata: Metadata, number: int) -> Sizes:
    pixels = _ome_pixels(metadata, number)
    if pixels is None:
        return {}
    sizes: dict[str, float] = {}
    for axis in "XYZ":
        unit = micrometres_in(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        size = _positive(pixels.get(f"PhysicalSize{axis}"))
        if unit and size:
            sizes[axis.lower()] = size * unit
    return sizes


def _imagej(metadata: Metadata) -> Sizes:
    unit = micrometres_in(str(metadata.imagej.get("unit", "")))
    if unit is None:
        return {}
    spacing = _positive(metadata.imagej.get("spacing"))
    return _per_pixel(metadata, unit) | ({"z": spacing * unit} if spacing else {})


def _resolution(metadata: Metadata) -> Sizes:
    unit = micrometres_in(UNITS_OF_RESOLUTION.get(metadata.resolution_unit, ""))
    sizes = _per_pixel(metadata, unit) if unit else {}
    return sizes if sizes and max(sizes.values()) <= LARGEST_BELIEVED else {}


def _per_pixel(metadata: Metadata, unit: float) -> dict[str, float]:
    """Micrometres per pixel from the resolution tags, which count pixels per unit of so many micrometres."""
    return {axis: unit / per_unit for axis, per_unit in zip("xy", metadata.resolution, strict=True) if per_unit > 0}
