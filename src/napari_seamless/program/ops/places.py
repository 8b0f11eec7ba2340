"""Places of pixels, as numbers in row-major order: of the whole plane, and of a region of it."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.spans import Span

Axes = Sequence[tuple[Span, int]]
"""(a region's span, the whole size) of each axis, in the order in which pixels are counted."""


def globally(where: Tensor, axes: Axes) -> Tensor:
    """Places in a region, counted in the whole plane instead. int64."""
    local, whole = prod(hi - lo for (lo, hi), _ in axes), prod(size for _, size in axes)
    place = torch.zeros_like(where)
    for (lo, hi), size in axes:
        local, whole = local // (hi - lo), whole // size
        place += (where // local % (hi - lo) + lo) * whole
    return place


def locally(place: Tensor, axes: Axes) -> tuple[Tensor, Tensor]:
    """Places in the whole plane, counted in a region instead, and whether they lie in it (0 where not). int64."""
    local, whole = prod(hi - lo for (lo, hi), _ in axes), prod(size for _, size in axes)
    where, inside = torch.zeros_like(place), torch.ones_like(place, dtype=torch.bool)
    for (lo, hi), size in axes:
        local, whole = local // (hi - lo), whole // size
        at = place // whole % size - lo
        inside &= (at >= 0) & (at < hi - lo)
        where += at * local
    return torch.where(inside, where, 0), inside
