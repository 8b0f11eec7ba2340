"""Levels: the resolutions of a pyramid and the exact scale between them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from napari_seamless.errors import BadRequest
from napari_seamless.geometry.region import Interval, Region


@dataclass(frozen=True, slots=True)
class Levels:
    """Spatial shapes of a pyramid's levels, finest first, each in (z,) y, x order.

    >>> Levels(((1000, 600), (500, 300))).scale(1)
    (Fraction(2, 1), Fraction(2, 1))
    """

    shapes: tuple[tuple[int, ...], ...]

    def __post_init__(self) -> None:
        if not self.shapes or any(n < 1 for shape in self.shapes for n in shape):
            raise BadRequest(f"an image needs at least one level with pixels in it; got level shapes {self.shapes}")

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def ndim(self) -> int:
        return len(self.shapes[0])

    def shape(self, level: int) -> tuple[int, ...]:
        if not 0 <= level < len(self.shapes):
            raise BadRequest(f"level must be between 0 and {len(self.shapes) - 1} for this image; got {level}")
        return self.shapes[level]

    def scale(self, level: int) -> tuple[Fraction, ...]:
        """Level-0 pixels per pixel of `level`, one exact number an axis."""
        return tuple(Fraction(a, b) for a, b in zip(self.shapes[0], self.shape(level), strict=True))

    def to_level(self, region: Region, level: int) -> Region:
        """The pixels of `level` that a level-0 region touches."""
        pairs = zip(region.intervals, self.scale(level), strict=True)
        return Region(tuple(Interval(int(i.lo // s), int(-(-i.hi // s))) for i, s in pairs))

    def to_base(self, region: Region, level: int) -> Region:
        """The level-0 pixels under a region of `level`."""
        pairs = zip(region.intervals, self.scale(level), strict=True)
        return Region(tuple(Interval(int(i.lo * s), int(-(-i.hi * s // 1))) for i, s in pairs))


def halved(shape: tuple[int, ...], until: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of a pyramid that halves y and x (rounding up; a leading z stays) until both are at most `until`."""
    shapes = [shape]
    while max(shapes[-1][-2:]) > until:
        *front, y, x = shapes[-1]
        shapes.append((*front, -(-y // 2), -(-x // 2)))
    return tuple(shapes)
