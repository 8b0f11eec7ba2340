"""Values of options as text in a shell, both ways. Standard library only, so that a shell's help comes at once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
TISSUE = "tissue"


def parse_budget(text: str | int) -> int:
    """Bytes meant by "2GB", "500 MB", "1.5GiB" or a number. Raises BadRequest.

    >>> parse_budget("1.5GiB")
    1610612736
    """
    found = re.fullmatch(r"\s*((?:\d+\.?\d*|\.\d+)(?:e\d+)?)\s*([kmgt]i?)?b?\s*", str(text).lower())
    if found is None:
        raise BadRequest(f"a budget is a number of bytes such as 2GB or 500MB; got {text!r}")
    return int(float(found[1]) * UNITS[found[2] or ""])


def parse_region(text: str) -> Region:
    """``Y0:Y1,X0:X1`` (with ``Z0:Z1,`` before it for a volume) as a region of level-0 pixels. Raises BadRequest."""
    bounds: list[tuple[int, int]] = []
    for part in text.split(","):
        lo, colon, hi = part.partition(":")
        if not (colon and lo.strip().isdecimal() and hi.strip().isdecimal() and int(lo) < int(hi)):
            raise BadRequest(f"a region is Y0:Y1,X0:X1, each from a smaller to a larger whole number; got {text!r}")
        bounds.append((int(lo), int(hi)))
    if len(bounds) not in (2, 3):
        raise BadRequest(f"a region has two axes, Y0:Y1,X0:X1, or three with Z0:Z1 in front; got {text!r}")
    return Region.of(*bounds)


def region_text(region: Region) -> str:
    """The other way round.

    >>> region_text(Region.of((0, 10), (5, 20)))
    '0:10,5:20'
    """
    return ",".join(f"{i.lo}:{i.hi}" for i in region.intervals)


def parse_plane(text: str) -> dict[str, int]:
    """``t=3,z=10`` as numbers by axis. Raises BadRequest."""
    found: dict[str, int] = {}
    for part in text.split(","):
        letter, equals, number = (word.strip() for word in part.partition("="))
        if not (equals and number.isdecimal()):
            raise BadRequest(f"a plane is t or z, '=' and a whole number, such as t=3,z=10; got {text!r}; correct it")
        found[letter] = int(number)
    return found


def plane_text(plane: Mapping[str, int]) -> str:
    return ",".join(f"{letter}={number}" for letter, number in plane.items())


def parse_channels(text: str) -> tuple[int | str, ...]:
    """``0,2`` or ``DAPI,actin`` as numbers or names of channels."""
    parts = (part.strip() for part in text.split(","))
    return tuple(int(part) if part.isdecimal() else part for part in parts)


def channels_text(channels: Sequence[int | str]) -> str:
    return ",".join(map(str, channels))


def parse_value_range(text: str) -> tuple[float, float]:
    """``LOW:HIGH`` as two numbers. Raises BadRequest."""
    low, colon, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (0.0, 0.0)
    if not colon or not found[0] < found[1]:
        raise BadRequest(f"a value range is LOW:HIGH, from a smaller to a larger number; got {text!r}")
    return found


def value_range_text(span: Sequence[float]) -> str:
    """The other way round, to the last digit.

    >>> value_range_text((0, 1048575))
    '0:1048575'
    """
    return ":".join(repr(float(number)).removesuffix(".0") for number in span)


def parse_scene(text: str) -> str | int:
    """A scene's number where it is one, else its name."""
    return int(text) if text.isdecimal() else text


def parse_outputs(text: str) -> str | int | tuple[str | int, ...]:
    """One output's number or name, or those of several with commas between them.

    >>> parse_outputs("out"), parse_outputs("0,aux")
    ('out', (0, 'aux'))
    """
    found = parse_channels(text)
    return found if len(found) > 1 else found[0]


def outputs_text(outputs: str | int | Sequence[str | int]) -> str:
    """The other way round."""
    return str(outputs) if isinstance(outputs, str | int) else channels_text(outputs)


def parse_roi(text: str) -> str | Path:
    """The word tissue, or the path of a GeoJSON file."""
    return text if text == TISSUE else Path(text)
