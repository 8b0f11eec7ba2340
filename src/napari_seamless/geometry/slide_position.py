"""Where an image that was made of another one lies on the slide that they all come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Numbers = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SlidePosition:
    """Level-0 pixel o of an image lies at level-0 pixel o * scale + offset of the slide of this name (pixel centres).

    `scale` and `offset` have one number an axis, (z,) y, x.

    >>> SlidePosition("slide", (2.0,), (10.0,)).of_part((4.0,), (3.0,))
    SlidePosition(slide='slide', scale=(8.0,), offset=(16.0,))
    """

    slide: str
    scale: Numbers
    offset: Numbers

    def of_part(self, scale: Sequence[float], offset: Sequence[float]) -> SlidePosition:
        """Of something whose pixel o lies at pixel o * scale + offset of the image."""
        return SlidePosition(
            self.slide,
            tuple(float(s * inner) for s, inner in zip(self.scale, scale, strict=True)),
            tuple(float(o + s * inner) for o, s, inner in zip(self.offset, self.scale, offset, strict=True)),
        )

    def without(self, axis: int) -> SlidePosition:
        """Of one plane along an axis."""
        scale, offset = ((*n[:axis], *n[axis + 1 :]) for n in (self.scale, self.offset))
        return SlidePosition(self.slide, scale, offset)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {"slide": self.slide, "scale": list(self.scale), "offset": list(self.offset)}

    @classmethod
    def from_json(cls, said: object, ndim: int, slide: str = "") -> SlidePosition | None:
        """The inverse of `to_json`; None for what is none of an image of so many axes."""
        if not isinstance(said, Mapping):
            return None
        try:
            scale, offset = (tuple(float(n) for n in said[key]) for key in ("scale", "offset"))
        except (KeyError, TypeError, ValueError):
            return None
        return cls(str(said.get("slide", slide)), scale, offset) if len(scale) == len(offset) == ndim else None
