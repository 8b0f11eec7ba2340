"""Values of options as they are compared and written down: arrays by what is in them, shapes as numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.runs.option_text import parse_region, region_text


class Comparable:
    """A frozen dataclass that is equal to another one with the same values, where some of these are arrays."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> str:
        return json.dumps([as_json(getattr(self, f.name)) for f in fields(self)])  # type: ignore[arg-type]


def same(one: Any, other: Any) -> bool:
    """Whether two values of an option are the same."""
    return one is other or (type(one) is type(other) and bool(as_json(one) == as_json(other)))


def normal_roi(roi: Any) -> Any:
    """Polygons as tuples of (y, x); everything else as it is."""
    if roi is None or isinstance(roi, str | Path | Region) or hasattr(roi, "dtype") or not isinstance(roi, Sequence):
        return roi
    try:
        return tuple(tuple((float(y), float(x)) for y, x in polygon) for polygon in roi)
    except (TypeError, ValueError):  # no polygons: said in full where the image is known
        return roi


def as_json(value: Any, *, brief: bool = False) -> Any:
    """A JSON value; of an array, and where it is to be `brief` of polygons, {"sha256": a digest}.

    A dask client becomes its address, moments and any other object what their `digest` or name says.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Path():
            return str(value)
        case Region():
            return {"region": region_text(value)}
        case Mapping():
            return {str(key): as_json(each) for key, each in value.items()}
        case tuple() | list():
            plain = [as_json(each) for each in value]
            return {"sha256": _digest(json.dumps(plain).encode())} if brief and plain and _is_deep(plain) else plain
        case _ if hasattr(value, "tobytes") and hasattr(value, "shape"):
            return {"sha256": _digest(f"{value.shape} {value.dtype}".encode() + value.tobytes())}
        case _ if isinstance(digest := getattr(value, "digest", None), str):
            return {"sha256": digest}
    return str(getattr(getattr(value, "scheduler", None), "address", type(value).__name__))


def from_json(name: str, saved: Any) -> Any:
    """The value of the option called `name` that `as_json` made this of. Raises BadRequest for a digest."""
    if isinstance(saved, Mapping) and "sha256" in saved:
        raise BadRequest(f"of {name!r} only a digest was saved, which does not say what it was; give {name} anew")
    return parse_region(saved["region"]) if isinstance(saved, Mapping) and "region" in saved else saved


def _is_deep(plain: list[Any]) -> bool:
    return isinstance(plain[0], list)


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]
