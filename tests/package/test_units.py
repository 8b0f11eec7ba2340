"""One table of units, and every spelling of it."""

from __future__ import annotations

import pytest

from napari_seamless.units import UNITS, full_name, micrometres_in, symbol_of


@pytest.mark.parametrize(
    ("spelling", "micrometres"),
    [
        ("\u00b5m", 1.0),  # the sign of micro
        ("\u03bcm", 1.0),  # the letter mu
        ("\\u00B5m", 1.0),  # as ImageJ writes it
        ("um", 1.0),
        ("micron", 1.0),
        ("micrometre", 1.0),
        ("nm", 1e-3),
        ("\u00c5", 1e-4),
        ("\u212b", 1e-4),
        ("angstrom", 1e-4),
        ("mm", 1e3),
        ("inch", 25400.0),
        ("pixel", None),
        ("second", None),
        ("", None),
    ],
)
def test_a_spelling_is_so_many_micrometres(spelling: str, micrometres: float | None) -> None:
    assert micrometres_in(spelling) == micrometres


def test_no_two_units_share_a_spelling() -> None:
    spellings = [s for unit in UNITS for s in (unit.name, unit.symbol, *unit.aliases)]
    assert len(set(spellings)) == len(spellings)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_name_and_symbol_lead_to_each_other(unit) -> None:
    assert full_name(unit.symbol) == unit.name
    assert symbol_of(unit.name) == unit.symbol
