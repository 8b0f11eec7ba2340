"""What the OME-XML of a TIFF file says of an image: pixel size, place, channels."""

from __future__ import annotations

from collections.abc import Mapping
from math import inf, isfinite
from typing import Any
from xml.etree import ElementTree

from napari_seamless.io.readers.tiff_parsed import Metadata
from napari_seamless.units import micrometres_in

DEFAULT_UNIT = "\N{MICRO SIGN}m"
WHITE = "-1"
PIXEL = "pixel"


def positive(text: Any) -> float | None:
    """A number above zero; None for anything else, since a pixel size that makes no sense must not stop an image."""
    number = _number(text)
    return number if number is not None and 0 < number < inf else None


def pixels_of(metadata: Metadata, number: int) -> ElementTree.Element | None:
    """The description of an image: by its number, or by its name where tifffile has left images out."""
    images = metadata.ome_images
    if len(images) != metadata.images:
        images = [image for image in images if image.get("Name") == metadata.name] or images[:1]
        number = 0
    return images[number].find("{*}Pixels") if images else None


def sizes_of(pixels: ElementTree.Element) -> Mapping[str, float]:
    """Micrometres per pixel under `z`, `y`, `x`, as far as they are said."""
    sizes: dict[str, float] = {}
    for axis in "XYZ":
        unit = micrometres_in(pixels.get(f"PhysicalSize{axis}Unit", DEFAULT_UNIT))
        size = positive(pixels.get(f"PhysicalSize{axis}"))
        if unit and size:
            sizes[axis.lower()] = size * unit
    return sizes


def significant_bits_of(pixels: ElementTree.Element | None) -> int | None:
    """How many bits of a number are used; None where nobody says it."""
    said = "" if pixels is None else pixels.get("SignificantBits", "")
    return int(said) if said.isdecimal() else None


def place_of(pixels: ElementTree.Element, sizes: Mapping[str, float]) -> Mapping[str, float]:
    """Where the first plane lies, under `z`, `y`, `x`: in micrometres, or in pixels along axes of no known size.

    A position in no unit of length ("reference frame", which is also meant where no unit is given) is none.
    """
    planes = pixels.findall("{*}Plane")
    first = next((p for p in planes if all(p.get(f"The{axis}", "0") == "0" for axis in "CZT")), None)
    place: dict[str, float] = {}
    if first is None:
        return place
    for axis in "XYZ":
        at, unit = _number(first.get(f"Position{axis}")), first.get(f"Position{axis}Unit", "")
        step, length = sizes.get(axis.lower()), micrometres_in(unit)
        if at is None or not isfinite(at):
            continue
        if unit == PIXEL:
            place[axis.lower()] = at * (step or 1.0)
        elif length and step:
            place[axis.lower()] = at * length
    return place


def channel_names_of(pixels: ElementTree.Element) -> tuple[str, ...]:
    """Names of all channels, or nothing."""
    names = [c.get("Name", "") for c in pixels.findall("{*}Channel")]
    return tuple(names) if all(names) else ()


def channel_colours_of(pixels: ElementTree.Element) -> tuple[str, ...]:
    """#rrggbb of all channels, or nothing where none has one of its own: white stands for that, too."""
    said = [c.get("Color", WHITE) for c in pixels.findall("{*}Channel")]
    if all(colour == WHITE for colour in said):
        return ()
    try:
        return tuple(f"#{int(colour) & 0xFFFFFFFF:08x}"[:7] for colour in said)
    except ValueError:
        return ()


def _number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None
