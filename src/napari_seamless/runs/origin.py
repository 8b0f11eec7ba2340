"""What a result was made of, as the result itself says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from napari_seamless.io.readers.plane import PLANE
from napari_seamless.io.slide_position import TO_SLIDE
from napari_seamless.runs.asked_roi import asked_of, asked_parts, place_of
from napari_seamless.runs.roi_parts import words
from napari_seamless.store import Store, images_at, open_store
from napari_seamless.store.metadata import spec_of
from napari_seamless.store.output_path import attributes_at
from napari_seamless.store.several_images import images_in

OBJECTS = "objects"
"""Under this name the provenance of labels says how objects were made: method, settings, and how many cells along each
axis a `chunk` of their candidates has."""

UNKNOWN, ALL = "not known", "all of it"
NOTICES = "notices"


@dataclass(frozen=True)
class Origin:
    """Pixel o of a result lies at level-0 pixel o * scale + offset of the image of this name, (z,) y, x, on that time
    point ("t") or plane ("z") of it, by numbers from 0, where there are several. `model` made it, with the claim
    `scope` ("exact", "rounded" or "approximate"), and the share `fraction` of it is done. `asked` says in words which
    part of it was asked for ("" where nobody wrote that down), `options` with which options of a run, as JSON values,
    and `notices` are what its runs told of image, network and device. `objects` says how labels that number objects
    were made of a network's output."""

    image: str
    plane: Mapping[str, int]
    scale: tuple[float, ...]
    offset: tuple[float, ...]
    model: str = UNKNOWN
    scope: str = UNKNOWN
    fraction: float = 1.0
    asked: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    notices: tuple[str, ...] = ()
    objects: Mapping[str, Any] = field(default_factory=dict)


def origin_of(result: Store) -> Origin:
    """What is not written in a result is taken to be one to one, and of a single plane. Any thread."""
    said, ndim = result.provenance, result.info.ndim
    place = said.get(TO_SLIDE, {})
    return Origin(
        image=str(said.get("image", UNKNOWN)),
        plane=dict(said.get(PLANE, {})),
        scale=tuple(place.get("scale", (1.0,) * ndim)),
        offset=tuple(place.get("offset", (0.0,) * ndim)),
        model=str(said.get("model", UNKNOWN)),
        scope=str(said.get("scope", UNKNOWN)),
        fraction=float(result.finished.mean()),
        asked=_asked(result),
        options=dict(said.get("options", {})),
        notices=notices_of(result),
        objects=dict(said.get(OBJECTS, {})),
    )


def notices_of(result: Store) -> tuple[str, ...]:
    """What the runs that made a result told of image, network and device. Any thread."""
    return tuple(map(str, result.provenance.get(NOTICES, ())))


def notices_at(path: str | Path) -> tuple[str, ...]:
    """As `notices_of`, of the result at a path, the first of several; () where there is none. Only its attributes are
    read. Any thread."""
    place = Path(path)
    images = images_in(attributes_at(place))
    spec = spec_of(attributes_at(place / next(iter(images.values())) if images else place))
    return () if spec is None else tuple(map(str, spec.provenance.get(NOTICES, ())))


def _asked(result: Store) -> str:
    if not asked_of(result):
        return ""
    place = place_of(result.provenance, result.info.ndim)
    parts = asked_parts(result, place, result.info.levels.shape(0))
    return words(parts) if parts else ALL


def origin_at(path: str | Path) -> Origin | None:
    """What the result at a path was made of; None where there is none of ours. Changes nothing. Any thread.

    Raises InputDamaged where it cannot be opened.
    """
    if spec_of(attributes_at(Path(path))) is None and not images_at(path):
        return None
    return origin_of(open_store(Path(path), repairs=False))
