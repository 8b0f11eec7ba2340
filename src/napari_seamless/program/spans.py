"""Spans: one axis of a tensor's region, as a bare pair.

Inside the program layer regions are taken apart into axes, because every rule treats its axes independently, and a pair
of integers is the cheapest thing that says "from here to there". None stands for an axis that a tensor does not have.
"""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[int, int]
Box = tuple[Span | None, ...]
"""One span for each spatial axis of the program, in (z,) y, x order; None where the tensor lacks the axis."""

Dims = tuple[tuple[int, ...], ...]
"""For each dimension of a tensor the spatial axes that it runs over: () for a channel-like one, (0,) for y of a plane,
(0, 1) for y and x flattened into one dimension."""


def hull(a: Span | None, b: Span | None) -> Span | None:
    """The smallest span that holds both; None counts for nothing."""
    if a is None:
        return b
    if b is None:
        return a
    return min(a[0], b[0]), max(a[1], b[1])


def clip(span: Span, size: int) -> Span:
    """The part of a span inside [0, size), or the nearest single pixel where there is none.

    At least one pixel always remains, so that no kernel ever sees an empty tensor.
    """
    lo = min(max(span[0], 0), size - 1)
    return lo, max(min(span[1], size), lo + 1)


def local_shape(shape: Sequence[int], dims: Dims, box: Box) -> tuple[int, ...]:
    """The shape that a tensor of true shape `shape` has when only `box` of it is there."""
    sizes = []
    for size, axes in zip(shape, dims, strict=True):
        local = size if not axes else 1
        for axis in axes:
            span = box[axis]
            assert span is not None
            local *= span[1] - span[0]
        sizes.append(local)
    return tuple(sizes)
