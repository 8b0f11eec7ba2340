"""What the provenance of a result says of its place on the image that it was made of, and on the slide behind that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from napari_seamless.geometry import SlidePosition

TO_SLIDE = "to_slide"
"""The key of the provenance that says where a result lies on its image: `scale` and `offset` of pixel centres, in
level-0 pixels of the image, one number an axis."""

ON_SLIDE = "on_slide"
"""The same for the slide behind that image, where this was a result or a part of one, with the `slide`'s name."""


def slide_position(provenance: object, ndim: int) -> SlidePosition | None:
    """Where a result of so many axes lies on the slide that it comes from in the end; None where that is not said."""
    if not isinstance(provenance, Mapping):
        return None
    found = SlidePosition.from_json(provenance.get(ON_SLIDE), ndim)
    return found or SlidePosition.from_json(provenance.get(TO_SLIDE), ndim, str(provenance.get("image", "")))


def on_slide(position: SlidePosition | None, place: Mapping[str, Any]) -> dict[str, Any]:
    """The provenance of what lies so on an image with that position; nothing where the image is the slide itself."""
    if position is None:
        return {}
    return {ON_SLIDE: position.of_part(place["scale"], place["offset"]).to_json()}
