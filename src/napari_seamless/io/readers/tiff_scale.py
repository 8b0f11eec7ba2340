"""Pixel size, place and channels of a TIFF file, from whichever of its dialects says so."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

from napari_seamless.io.readers import tiff_ome
from napari_seamless.io.readers.tiff_ome import positive
from napari_seamless.io.readers.tiff_parsed import Metadata
from napari_seamless.units import micrometres_in

UNITS_OF_RESOLUTION = {2: "inch", 3: "centimeter"}
"""Values of TIFF's tag 296."""
# a resolution tag that gives pixels larger than this (some 1200 dpi) was written for a printer, not by a microscope
LARGEST_BELIEVED = 20.0
PRINTERS = ("inch", "in", "inches")
DICOM_SPACING = ".//Attribute[@Name='DICOM_PIXEL_SPACING']"
PHILIPS_LEVEL = ".//DataObject[@ObjectType='PixelDataRepresentation']/Attribute[@Name='DICOM_PIXEL_SPACING']"
Sizes = Mapping[str, float]


def pixel_sizes(metadata: Metadata, number: int = 0) -> Sizes:
    """Micrometres per level-0 pixel of an image, under `z`, `y`, `x`; empty where the file does not say."""
    match metadata.dialect:
        case "svs":
            return _aperio(metadata.description)
        case "ome":
            pixels = tiff_ome.pixels_of(metadata, number)
            return {} if pixels is None else tiff_ome.sizes_of(pixels)
        case "imagej":
            return _imagej(metadata)
        case "philips":
            return _philips(metadata.philips_xml)
    return _resolution(metadata)


def place(metadata: Metadata, sizes: Sizes, number: int = 0) -> Sizes:
    """Where the centre of the first pixel lies, under `z`, `y`, `x`: in micrometres, or in pixels without a size."""
    if metadata.dialect == "imagej":  # counts pixels from the corner to where x is 0
        said = {axis: _number(metadata.imagej.get(f"{axis}origin")) for axis in "zyx"}
        return {axis: -at * sizes.get(axis, 1.0) for axis, at in said.items() if at}
    pixels = tiff_ome.pixels_of(metadata, number)
    return {} if pixels is None else tiff_ome.place_of(pixels, sizes)


def channel_names(metadata: Metadata, number: int = 0) -> tuple[str, ...]:
    """Names of the channels of an OME-TIFF's image, or nothing."""
    pixels = tiff_ome.pixels_of(metadata, number)
    return () if pixels is None else tiff_ome.channel_names_of(pixels)


def channel_colours(metadata: Metadata, number: int = 0) -> tuple[str, ...]:
    """Colours (#rrggbb) of the channels of an OME-TIFF's image, or nothing."""
    pixels = tiff_ome.pixels_of(metadata, number)
    return () if pixels is None else tiff_ome.channel_colours_of(pixels)


def _aperio(description: str) -> Sizes:
    """Some scanners write the comma of their country."""
    found = re.search(r"MPP\s*=\s*([0-9.,eE+-]+)", description)
    size = positive(found[1].replace(",", ".")) if found else None
    return dict.fromkeys("yx", size) if size else {}


def _philips(xml: str) -> Sizes:
    """Millimetres along y and x: of the largest level, or of the whole where levels do not say it."""
    try:
        tree = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return {}
    for where in (PHILIPS_LEVEL, DICOM_SPACING):
        said = [[positive(n) for n in (e.text or "").replace('"', " ").split()] for e in tree.findall(where)]
        known = [(y, x) for y, x in (pair for pair in said if len(pair) == 2) if y and x]
        if known:
            y, x = min(known)
            return {"y": y * 1000, "x": x * 1000}
    return {}


def _imagej(metadata: Metadata) -> Sizes:
    name = str(metadata.imagej.get("unit", ""))
    unit = micrometres_in(name)
    if unit is None:
        return {}
    spacing = positive(metadata.imagej.get("spacing"))
    sizes = _per_pixel(metadata, unit)
    if name in PRINTERS and max(sizes.values(), default=0.0) > LARGEST_BELIEVED:
        return {}
    return sizes | ({"z": spacing * unit} if spacing else {})


def _number(text: object) -> float | None:
    return float(text) if isinstance(text, int | float) else None


def _resolution(metadata: Metadata) -> Sizes:
    unit = micrometres_in(UNITS_OF_RESOLUTION.get(metadata.resolution_unit, ""))
    sizes = _per_pixel(metadata, unit) if unit else {}
    return sizes if sizes and max(sizes.values()) <= LARGEST_BELIEVED else {}


def _per_pixel(metadata: Metadata, unit: float) -> dict[str, float]:
    """Micrometres per pixel from the resolution tags, which count pixels per unit of so many micrometres."""
    return {axis: unit / per_unit for axis, per_unit in zip("xy", metadata.resolution, strict=True) if per_unit > 0}
