"""Levels: the resolutions of a pyramid, the exact scale between them, and where each of them begins."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from napari_seamless.errors import BadRequest
from napari_seamless.geometry.region import Interval, Region

FINEST_STEP = 10**6
Numbers = tuple[Fraction, ...]


@dataclass(frozen=True, slots=True)
class Levels:
    """Spatial shapes of a pyramid's levels, finest first, each in (z,) y, x order.

    `scales` are the level-0 pixels per pixel of each level, and `offsets` the level-0 position of the centre of each
    level's first pixel, as a file declares them; one entry a level, or none at all. Without `scales` they follow from
    the shapes: a whole number where rounding to it, up or down, gives the level's shape along every axis, else the
    ratio of the shapes. Without `offsets` every level begins at the outer edge of the image.

    >>> Levels(((1000, 600), (500, 300))).scale(1)
    (Fraction(2, 1), Fraction(2, 1))
    >>> Levels(((1001, 600), (250, 150))).scale(1)
    (Fraction(4, 1), Fraction(4, 1))
    """

    shapes: tuple[tuple[int, ...], ...]
    scales: tuple[Numbers, ...] = field(default=(), repr=False)
    offsets: tuple[Numbers, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if not self.shapes or any(n < 1 for shape in self.shapes for n in shape):
            raise BadRequest(f"an image needs at least one level with pixels in it; got level shapes {self.shapes}")
        for name, said in (("scales", self.scales), ("offsets", self.offsets)):
            if said and [len(one) for one in said] != [len(shape) for shape in self.shapes]:
                raise BadRequest(f"{name} need one number an axis for every level of {self.shapes}; got {said}")
        if any(s <= 0 for one in self.scales for s in one):
            raise BadRequest(f"the scale of a level must be above zero; got {self.scales}")

    def __len__(self) -> int:
        return len(self.shapes)

    @property
    def ndim(self) -> int:
        return len(self.shapes[0])

    def shape(self, level: int) -> tuple[int, ...]:
        if not 0 <= level < len(self.shapes):
            raise BadRequest(f"level must be between 0 and {len(self.shapes) - 1} for this image; got {level}")
        return self.shapes[level]

    def scale(self, level: int) -> Numbers:
        """Level-0 pixels per pixel of `level`, one exact number an axis."""
        shape = self.shape(level)
        return self.scales[level] if self.scales else scale_between(self.shapes[0], shape)

    def offset(self, level: int) -> Numbers:
        """Where the centre of the first pixel of `level` lies, in level-0 pixels from the centre of level 0's first.

        >>> Levels(((1000,), (500,))).offset(1)
        (Fraction(1, 2),)
        """
        if self.offsets:
            return self.offsets[level]
        return tuple((s - 1) / 2 for s in self.scale(level))

    def edge(self, level: int) -> Numbers:
        """Where the outer edge of the first pixel of `level` lies, in level-0 pixels from the image's own edge."""
        return tuple(o - (s - 1) / 2 for o, s in zip(self.offset(level), self.scale(level), strict=True))

    def without(self, axis: int) -> Levels:
        """The same levels without one of their axes."""

        def shorter(numbers: Numbers) -> Numbers:
            return (*numbers[:axis], *numbers[axis + 1 :])

        return Levels(
            tuple((*shape[:axis], *shape[axis + 1 :]) for shape in self.shapes),
            tuple(map(shorter, self.scales)),
            tuple(map(shorter, self.offsets)),
        )

    def followed_by(self, coarser: tuple[tuple[int, ...], ...]) -> Levels:
        """These levels and coarser ones, each of which halves y and x of the one before, from its outer edge."""
        scales, offsets = [list(map(f, range(len(self)))) for f in (self.scale, self.offset)]
        for _ in coarser:
            steps = (*(1 for _ in scales[-1][:-2]), 2, 2)
            offsets.append(tuple(o + s * (n - 1) / 2 for o, s, n in zip(offsets[-1], scales[-1], steps, strict=True)))
            scales.append(tuple(s * n for s, n in zip(scales[-1], steps, strict=True)))
        return Levels((*self.shapes, *coarser), tuple(scales), tuple(offsets))

    def to_level(self, region: Region, level: int) -> Region:
        """The pixels of `level` that a level-0 region touches; none where the level does not reach that far."""
        intervals = []
        for i, s, e, n in zip(region.intervals, self.scale(level), self.edge(level), self.shape(level), strict=True):
            lo = min(max(int((i.lo - e) // s), 0), n)
            intervals.append(Interval(lo, max(lo, min(int(-((e - i.hi) // s)), n))))
        return Region(tuple(intervals))

    def to_base(self, region: Region, level: int) -> Region:
        """The level-0 pixels under a region of `level`; none where it lies in what only fills the level up."""
        intervals = []
        for i, s, e, n in zip(region.intervals, self.scale(level), self.edge(level), self.shapes[0], strict=True):
            lo = min(max(int((i.lo * s + e) // 1), 0), n)
            intervals.append(Interval(lo, max(lo, min(int(-((-i.hi * s - e) // 1)), n))))
        return Region(tuple(intervals))


def fraction(number: float) -> Fraction:
    """A number of a file as the fraction that was meant by it: 2.9999999999999996 is 3."""
    return Fraction(number).limit_denominator(FINEST_STEP)


def scale_between(finest: tuple[int, ...], shape: tuple[int, ...]) -> Numbers:
    """Level-0 pixels per pixel of a level, from its shape alone.

    Most writers halve, and round up or down; the ratio of the shapes then is not quite the scale. Depth may be kept
    while y and x shrink.
    """
    whole = _whole(finest[-2:], shape[-2:])
    front = tuple(_whole((n,), (m,)) or Fraction(n, m) for n, m in zip(finest[:-2], shape[:-2], strict=True))
    plane = tuple(Fraction(n, m) for n, m in zip(finest[-2:], shape[-2:], strict=True))
    return (*front, *(plane if whole is None else (whole,) * len(plane)))


def _whole(finest: tuple[int, ...], shape: tuple[int, ...]) -> Fraction | None:
    """The whole number that gives `shape` by rounding along every axis, if there is one; that nearest to the ratios."""
    ratio = max(n / m for n, m in zip(finest, shape, strict=True))
    nearest = sorted({int(ratio), int(ratio) + 1, round(ratio)} - {0}, key=lambda f: abs(f - ratio))
    fits = [f for f in nearest if all(m in (n // f, -(-n // f)) for n, m in zip(finest, shape, strict=True))]
    return Fraction(fits[0]) if fits else None


def halved(shape: tuple[int, ...], until: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of a pyramid that halves y and x (rounding up; a leading z stays) until both are at most `until`."""
    shapes = [shape]
    while max(shapes[-1][-2:]) > until:
        *front, y, x = shapes[-1]
        shapes.append((*front, -(-y // 2), -(-x // 2)))
    return tuple(shapes)
