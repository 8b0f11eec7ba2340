"""What a result was made of, as the result itself says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from napari_seamless.export.geojson import PLACE
from napari_seamless.sources.planes import PLANE
from napari_seamless.store import Store


@dataclass(frozen=True)
class Origin:
    """Pixel o of a result lies at level-0 pixel o * scale + offset of the image of this name, (z,) y, x, on that time
    point ("t") or plane ("z") of it, by numbers from 0, where there are several."""

    image: str
    plane: Mapping[str, int]
    scale: tuple[float, ...]
    offset: tuple[float, ...]


def origin_of(result: Store) -> Origin:
    """What is not written in a result is taken to be one to one, and of a single plane. Any thread."""
    said, ndim = result.provenance, result.info.ndim
    place = said.get(PLACE, {})
    return Origin(
        image=str(said.get("image", "")),
        plane=dict(said.get(PLANE, {})),
        scale=tuple(place.get("scale", (1.0,) * ndim)),
        offset=tuple(place.get("offset", (0.0,) * ndim)),
    )
