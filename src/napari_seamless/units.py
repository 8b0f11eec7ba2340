"""Units of length, under the names that files and programs give them. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unit:
    """A unit of length. `name` is the one of OME-Zarr and napari, `symbol` the one of OME-TIFF."""

    name: str
    symbol: str
    micrometres: float
    aliases: tuple[str, ...] = ()


UNITS: tuple[Unit, ...] = (
    Unit("picometer", "pm", 1e-6, ("picometre",)),
    Unit("angstrom", "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}", 1e-4, ("\N{ANGSTROM SIGN}", "ångström")),
    Unit("nanometer", "nm", 1e-3, ("nanometre", "nanometers", "nanometres")),
    Unit(
        "micrometer",
        "\N{MICRO SIGN}m",
        1.0,
        (
            "\N{GREEK SMALL LETTER MU}m",
            "um",
            "\\u00B5m",
            "micron",
            "microns",
            "micrometre",
            "micrometers",
            "micrometres",
        ),
    ),
    Unit("millimeter", "mm", 1e3, ("millimetre", "millimeters", "millimetres")),
    Unit("centimeter", "cm", 1e4, ("centimetre", "centimeters", "centimetres")),
    Unit("inch", "in", 25400.0, ("inches",)),
    Unit("meter", "m", 1e6, ("metre", "meters", "metres")),
)
"""Smallest first. Two signs look alike for micro and for the angstrom, and ImageJ writes the first as an escape."""

MICROMETER = "micrometer"

_BY_NAME = {name: unit for unit in UNITS for name in (unit.name, unit.symbol, *unit.aliases)}


def unit_named(name: str) -> Unit | None:
    """The unit of this name, symbol or alias; None for what is no length (a pixel, a second).

    >>> unit_named("um").micrometres
    1.0
    """
    return _BY_NAME.get(name)


def micrometres_in(name: str) -> float | None:
    """How many micrometres a unit is; None for what is no length.

    >>> micrometres_in("nanometer")
    0.001
    """
    unit = unit_named(name)
    return None if unit is None else unit.micrometres


def full_name(name: str) -> str:
    """The name of a unit as OME-Zarr and napari write it; what is not known stays as it is.

    >>> full_name("µm"), full_name("pixel")
    ('micrometer', 'pixel')
    """
    unit = unit_named(name)
    return name if unit is None else unit.name


def symbol_of(name: str) -> str:
    """The short form of a unit; what is not known stays as it is.

    >>> symbol_of("micrometer"), symbol_of("pixel")
    ('µm', 'pixel')
    """
    unit = unit_named(name)
    return name if unit is None else unit.symbol
