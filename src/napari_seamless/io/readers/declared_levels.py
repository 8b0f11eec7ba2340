"""Where the levels of a file lie, as it declares it, and whether its pixels agree.

A level may be larger than its scale makes it (filled up to whole chunks) or smaller by what rounding took away; the
declared scale is the true one then. Some writers declare the same scale for every level; then the shapes are right.
Only where the two differ by more than rounding are pixels compared, a few hundred of either level.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from napari_seamless.geometry import Interval, Levels, Region, fraction
from napari_seamless.interfaces import Pixels

SAMPLE_EDGE = 16
LARGEST_SAMPLE, LONGEST_SAMPLE = 1 << 22, 1 << 12
"""Pixels of level 0 that are read for one, and along one of its axes: a strip lies in very many chunks."""
AT = (0.2, 0.45, 0.7, 0.93)
CLEARLY = 0.8
"""How much smaller the difference of the pixels must be for one of the two readings to be the right one."""

Read = Callable[[Region, int], Pixels]
Steps = Sequence[Sequence[float]]


def checked_levels(
    name: str, shapes: tuple[tuple[int, ...], ...], sizes: Steps, starts: Sequence[Sequence[float] | None], read: Read
) -> tuple[Levels, tuple[str, ...]]:
    """Levels at the scales and places that a file declares, and what has to be told of them.

    `sizes` are those of a pixel of each level and `starts` where the centre of its first pixel lies (None where the
    file does not say it: then at the image's outer edge), in any unit. `read` gives the pixels of a region of a level,
    (c, [z,] y, x). Where a size is no number above zero the shapes alone count. Raises what `read` does.
    """
    plain = Levels(shapes)
    if len(shapes) == 1 or not all(np.isfinite(n) and n > 0 for size in sizes for n in size):
        return plain, ()
    scales = [tuple(fraction(n / base) for n, base in zip(size, sizes[0], strict=True)) for size in sizes]
    notices = []
    for level in range(1, len(shapes)):
        if all(map(_agree, shapes[0], shapes[level], scales[level])):
            continue
        said = Levels((shapes[0], shapes[level]), (scales[0], scales[level]))
        is_right = _is_confirmed(said, read, level)
        notices.append(_notice(name, level, shapes[level], said.scale(1), is_right))
        if is_right is False:
            scales[level] = plain.scale(level)
    return Levels(shapes, tuple(scales), _offsets(scales, sizes[0], starts)), tuple(notices)


def _offsets(
    scales: Sequence[tuple[Fraction, ...]], size: Sequence[float], starts: Sequence[Sequence[float] | None]
) -> tuple[tuple[Fraction, ...], ...]:
    first = starts[0] or (0.0,) * len(size)
    found: list[tuple[Fraction, ...]] = []
    for scale, start in zip(scales, starts, strict=True):
        if start is None or not found:
            found.append(tuple((s - 1) / 2 for s in scale))
        else:
            found.append(tuple(fraction((a - b) / n) for a, b, n in zip(start, first, size, strict=True)))
    return tuple(found)


def _agree(finest: int, length: int, scale: Fraction) -> bool:
    """Whether a level is as long as its scale makes it, rounded up or down."""
    return abs(finest / scale - length) < 1


def _is_confirmed(declared: Levels, read: Read, level: int) -> bool | None:
    """Whether pixels of `level`, the second one of `declared`, lie at the declared scale; None if they cannot tell."""
    by_shape = Levels(declared.shapes)
    differences = np.zeros(2)
    for share in AT:
        for k, levels in enumerate((declared, by_shape)):
            differences[k] += _difference(levels, share, read, level)
    said, counted = differences
    if min(said, counted) >= CLEARLY * max(said, counted):
        return None
    return bool(said < counted)


def _difference(levels: Levels, share: float, read: Read, level: int) -> float:
    """How much some pixels of `level`, the second one of `levels`, differ from those of level 0 under them."""
    shape = levels.shape(1)
    scale, edge = levels.scale(1), levels.edge(1)
    reach = [min(m, int((n - e) / s)) for m, n, e, s in zip(shape, levels.shapes[0], edge, scale, strict=True)]
    most = max(1, int((LARGEST_SAMPLE / float(np.prod([float(s) for s in scale]))) ** (1 / len(shape))))
    edges = [max(1, min(SAMPLE_EDGE, most, n, int(LONGEST_SAMPLE / s))) for n, s in zip(reach, scale, strict=True)]
    spans = [Interval(lo := int(share * max(0, n - size)), lo + size) for n, size in zip(reach, edges, strict=True)]
    at = [
        np.clip(np.floor((np.arange(i.lo, i.hi) + 0.5) * float(s) + float(e)).astype(np.int64), 0, n - 1)
        for i, s, e, n in zip(spans, scale, edge, levels.shapes[0], strict=True)
    ]
    under = read(Region(tuple(Interval(int(a[0]), int(a[-1]) + 1) for a in at)), 0)
    there = read(Region(tuple(spans)), level)
    nearest = under[np.ix_(range(len(under)), *(a - a[0] for a in at))]
    return float(np.abs(there.astype(float) - nearest.astype(float)).mean())


def _notice(
    name: str, level: int, shape: tuple[int, ...], declared: tuple[Fraction, ...], is_right: bool | None
) -> str:
    found = " x ".join(map(str, shape))
    said = " x ".join(f"{float(s):g}" for s in declared)
    what = {
        True: "its pixels lie at the declared scale, and what is beyond it only fills the level up",
        False: "its pixels do not lie at that scale, so that the shapes are believed",
        None: "its pixels cannot tell which is right, so that the declared scale is believed",
    }[is_right]
    return f"level {level} of {name} has {found} pixels, which its declared scale of {said} does not make: {what}"
