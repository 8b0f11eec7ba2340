"""What the OME metadata of an AICSImage or BioImage say, which give their numbers without a unit. Known by what they
can do, so that no package for OME is imported here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from napari_seamless.units import MICROMETER, full_name, micrometres_in


def unit_of(image: Any) -> str:
    """The unit of an object's pixel sizes: its own, else that of its OME metadata, else micrometres."""
    said = getattr(getattr(getattr(image, "dimension_properties", None), "X", None), "unit", None)
    if said is None:
        said = getattr(_pixels_of(image), "physical_size_x_unit", None)
    return MICROMETER if said is None else full_name(_text(said))


def origin_of(image: Any, letters: str, sizes: Mapping[str, float | None], unit: str) -> tuple[float, ...]:
    """Where the first plane lies, one number for each of `letters` (zyx or yx), in `unit`; empty where it is not said.

    A position in pixels is one where the size of these is not known.
    """
    first = next(iter(getattr(_pixels_of(image), "planes", None) or ()), None)
    factor = micrometres_in(unit)
    found = []
    for letter in letters:
        at = getattr(first, f"position_{letter}", None)
        name = _text(getattr(first, f"position_{letter}_unit", ""))
        length, step = micrometres_in(name), sizes.get(letter)
        if at is not None and name == "pixel":
            found.append(float(at) * (step or 1.0))
        else:
            found.append(float(at) * length / factor if at is not None and length and factor and step else 0.0)
    return tuple(found) if any(found) else ()


def channel_colours_of(image: Any) -> tuple[str, ...]:
    """#rrggbb of the channels; empty where all are white, which stands for none."""
    said: Sequence[Any] = [getattr(c, "color", None) for c in getattr(_pixels_of(image), "channels", None) or ()]
    parts = [colour.as_rgb_tuple(alpha=False) for colour in said if hasattr(colour, "as_rgb_tuple")]
    if len(parts) != len(said) or all(part == (255, 255, 255) for part in parts):
        return ()
    return tuple("#{:02x}{:02x}{:02x}".format(*part) for part in parts)


def significant_bits_of(image: Any) -> int | None:
    """How many bits of a number are used; None where nobody says it."""
    said = getattr(_pixels_of(image), "significant_bits", None)
    return None if said is None else int(said)


def _pixels_of(image: Any) -> Any:
    """The description of the current image; None where there is none. Only some formats have one."""
    images = getattr(getattr(image, "metadata", None), "images", None)
    number = getattr(image, "current_scene_index", 0)
    return getattr(images[number], "pixels", None) if isinstance(images, list) and number < len(images) else None


def _text(unit: Any) -> str:
    """A unit is a text or a member of an enumeration of texts."""
    return str(getattr(unit, "value", unit))
