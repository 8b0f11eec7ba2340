"""The name and the colour of a class in files of other programs, also of one that nobody named."""

from __future__ import annotations

from collections.abc import Iterable
from colorsys import hsv_to_rgb

from napari_seamless.interfaces import LabelClass

GOLDEN = 0.618034


def named_and_coloured(classes: Iterable[LabelClass], value: int) -> tuple[str, list[int]]:
    """Name, and red, green, blue from 0 to 255."""
    known = next((c for c in classes if c.value == value), None)
    if known is None:
        return LabelClass.default_name(value), _made_up(value)
    return known.name, list(bytes.fromhex(known.colour.removeprefix("#")))


def _made_up(value: int) -> list[int]:
    """Another hue for every number, neighbours far apart."""
    return [round(255 * part) for part in hsv_to_rgb(value * GOLDEN % 1, 0.8, 0.9)]
