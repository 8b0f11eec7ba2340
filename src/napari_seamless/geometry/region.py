"""Regions: n-dimensional boxes of half-open integer intervals.

The one coordinate law of this package. An interval ``[lo, hi)`` is literal: it is never clamped to an image and a
negative bound is an address left of zero, not "from the end". Axes are in (z,) y, x order. A region says nothing of
the grid it lies on; every function that takes one names the level or the tensor whose pixels it counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod

from napari_seamless.errors import BadRequest


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """Integers ``lo <= i < hi``.

    >>> Interval(0, 4).intersect(Interval(2, 9))
    [2, 4)
    """

    lo: int
    hi: int

    def __post_init__(self) -> None:
        if self.hi < self.lo:
            raise BadRequest(f"an interval must not end before it starts; got [{self.lo}, {self.hi})")

    @property
    def size(self) -> int:
        return self.hi - self.lo

    def shift(self, by: int) -> Interval:
        return Interval(self.lo + by, self.hi + by)

    def intersect(self, other: Interval) -> Interval:
        """What both share; empty (at a bound of `self`) where they are apart."""
        lo = max(self.lo, other.lo)
        return Interval(lo, max(lo, min(self.hi, other.hi)))

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that holds both; an empty one holds nothing and counts for nothing."""
        if not self.size:
            return other
        if not other.size:
            return self
        return Interval(min(self.lo, other.lo), max(self.hi, other.hi))

    def contains(self, other: Interval) -> bool:
        return not other.size or (self.lo <= other.lo and other.hi <= self.hi)

    def __repr__(self) -> str:
        return f"[{self.lo}, {self.hi})"


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A box, one interval an axis, axes in (z,) y, x order.

    >>> Region.of((0, 512), (256, 768))
    y[0, 512) x[256, 768)
    >>> Region.of((0, 512), (256, 768)).shape
    (512, 512)
    """

    intervals: tuple[Interval, ...]

    @classmethod
    def of(cls, *bounds: tuple[int, int]) -> Region:
        """A region from (lo, hi) pairs, one an axis."""
        return cls(tuple(Interval(lo, hi) for lo, hi in bounds))

    @classmethod
    def from_shape(cls, shape: Sequence[int]) -> Region:
        """The region that a whole tensor of this spatial shape covers."""
        return cls(tuple(Interval(0, n) for n in shape))

    @property
    def ndim(self) -> int:
        return len(self.intervals)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(i.size for i in self.intervals)

    @property
    def start(self) -> tuple[int, ...]:
        return tuple(i.lo for i in self.intervals)

    @property
    def stop(self) -> tuple[int, ...]:
        return tuple(i.hi for i in self.intervals)

    @property
    def size(self) -> int:
        """Number of pixels."""
        return prod(self.shape)

    @property
    def is_empty(self) -> bool:
        return any(not i.size for i in self.intervals)

    def intersect(self, other: Region) -> Region:
        return Region(tuple(a.intersect(b) for a, b in zip(self.intervals, other.intervals, strict=True)))

    def hull(self, other: Region) -> Region:
        """The smallest region that holds both."""
        if self.is_empty:
            return other
        if other.is_empty:
            return self
        return Region(tuple(a.hull(b) for a, b in zip(self.intervals, other.intervals, strict=True)))

    def contains(self, other: Region) -> bool:
        if other.is_empty:
            return True
        return all(a.contains(b) for a, b in zip(self.intervals, other.intervals, strict=True))

    def overlaps(self, other: Region) -> bool:
        return not self.intersect(other).is_empty

    def shift(self, by: Sequence[int]) -> Region:
        return Region(tuple(i.shift(d) for i, d in zip(self.intervals, by, strict=True)))

    def grow(self, by: Sequence[int]) -> Region:
        """`by[axis]` pixels more on both sides of each axis."""
        return Region(tuple(Interval(i.lo - d, i.hi + d) for i, d in zip(self.intervals, by, strict=True)))

    def slices(self, origin: Sequence[int] | None = None) -> tuple[slice, ...]:
        """Slices of an array whose first pixel lies at `origin` (default: at zero).

        Raises BadRequest where the region starts before the origin, since a negative slice would count from the end.
        """
        base = origin if origin is not None else (0,) * self.ndim
        if any(i.lo < o for i, o in zip(self.intervals, base, strict=True)):
            raise BadRequest(
                f"a region must not start before the array it cuts; got {self!r} of an array at {tuple(base)}"
            )
        return tuple(slice(i.lo - o, i.hi - o) for i, o in zip(self.intervals, base, strict=True))

    def distance(self, point: Sequence[float]) -> float:
        """Squared distance, in pixels, from the region's centre to `point`."""
        return sum(((i.lo + i.hi) / 2 - p) ** 2 for i, p in zip(self.intervals, point, strict=True))

    def __repr__(self) -> str:
        names = "zyx"[-self.ndim :] if self.ndim <= 3 else "".join(chr(97 + k) for k in range(self.ndim))
        return " ".join(f"{n}{i!r}" for n, i in zip(names, self.intervals, strict=True))


def hull_of(regions: Iterable[Region]) -> Region:
    """The smallest region that holds all of them (at least one must be given)."""
    return reduce(Region.hull, regions)


def subtract(whole: Region, part: Region) -> Iterator[Region]:
    """Disjoint regions that together are `whole` without `part`, at most two an axis."""
    core = whole.intersect(part)
    if core.is_empty:
        if not whole.is_empty:
            yield whole
        return
    rest = list(whole.intervals)
    for axis, inner in enumerate(core.intervals):
        outer = rest[axis]
        for side in (Interval(outer.lo, inner.lo), Interval(inner.hi, outer.hi)):
            if side.size:
                yield Region((*rest[:axis], side, *rest[axis + 1 :]))
        rest[axis] = inner
