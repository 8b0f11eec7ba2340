"""Reshaping: dimensions taken apart and put together, spatial axes too.

Flattening y and x into one dimension and back only renames things. Splitting an axis of h pixels into h / f by f (the
windows of an attention, a space-to-depth written by hand) puts f of its pixels among the channels, so that the axis is
f times as coarse from there on; merging is the reverse.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from torch import Tensor

from napari_seamless.program.ops.local import LocalShape, View, stored
from napari_seamless.program.ops.operation import (
    Centre,
    LowPrecision,
    Memory,
    Operation,
    narrow,
)
from napari_seamless.program.ops.request import (
    Built,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
)
from napari_seamless.program.spans import Box, Dims, Span, local_shape

Factor = tuple[int, int | None]
"""A size, and the spatial axis whose size it is; None for a channel-like one."""


@dataclass(frozen=True)
class Regroup(Operation):
    """A view of true shape `shape` and dimensions `dims`; axis a gets `splits[a]` times coarser, `merges[a]` finer."""

    shape: tuple[int, ...]
    dims: Dims
    splits: tuple[int, ...]
    merges: tuple[int, ...]

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if span is None:
            return (None,)
        split, merge = self.splits[axis], self.merges[axis]
        return ((span[0] // merge * split, ((span[1] - 1) // merge + 1) * split),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        return span[0] % self.merges[axis] if span is not None else ()

    def centre(self, axis: int) -> Centre:
        scale = Fraction(self.splits[axis], self.merges[axis])
        return scale, (scale - 1) / 2

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        made: Box = tuple(
            None if w is None or h is None else (h[0] // s * m, h[1] // s * m)
            for h, w, s, m in zip(have[0], want, self.splits, self.merges, strict=True)
        )
        return narrow(inputs[0].reshape(local_shape(self.shape, self.dims, made)), self.dims, made, want)


def view(request: Request) -> Built:
    """aten.view and its like. Refused where positions and channels change places."""
    image = request.image()
    found = reshaped(image, request.shape)
    if found.splits or found.merges:
        axes = range(request.ndim)
        splits, merges = (tuple(given.get(a, 1) for a in axes) for given in (found.splits, found.merges))
        sizes = image.value.domain
        domain = tuple(n if n is None else n // splits[a] * merges[a] for a, n in enumerate(sizes))
        return Built(Regroup(request.shape, found.dims, splits, merges), (image,), found.dims, domain)
    local = Request("aten.reshape.default", (), {}, request.shape, request.dtype, request.ndim)
    return stored(local, found.dims, View, args=(image, LocalShape(request.shape, found.dims)))


@dataclass
class ChannelGrouping:
    """How factors make up another shape: the spatial axes in each dimension, which were split, and which merged."""

    found: list[tuple[int, ...]] = field(default_factory=list)
    splits: dict[int, int] = field(default_factory=dict)
    merges: dict[int, int] = field(default_factory=dict)

    @property
    def dims(self) -> Dims:
        return tuple(self.found)


def reshaped(image: ImageArgument, shape: tuple[int, ...]) -> ChannelGrouping:
    """Which dimensions of the new shape are spatial.

    The input's dimensions are taken apart into factors (channel-like sizes and spatial axes), and each new dimension
    must be made of consecutive ones. A spatial axis of one pixel stays one where it can, and is dropped otherwise. What
    every tile has whole becomes tokens without positions.
    """
    domain = image.value.domain
    factors: list[Factor] = []
    if image.is_settled and len(shape) != len(image.value.shape):
        return ChannelGrouping([()] * len(shape))
    for size, spatial in zip(image.value.shape, image.value.dims, strict=True):
        factors += [(domain[a] or 1, a) for a in spatial] if spatial else ([(size, None)] if size > 1 else [])
    try:
        return _grouped(list(factors), shape)
    except Unsupported:
        return _grouped([f for f in factors if f[0] > 1], shape)


def _grouped(factors: list[Factor], shape: tuple[int, ...]) -> ChannelGrouping:
    result = ChannelGrouping()
    for at, size in enumerate(shape):
        axes: list[int] = []
        left = size
        while left > 1 or (factors and factors[0][0] == 1 and len(shape) - at <= len(factors)):
            if not factors:
                raise Unsupported("it reshapes in a way that is not known here")
            left = _take(factors, left, axes, is_first=left == size, result=result)
        result.found.append(tuple(axes))
    return result


def _take(factors: list[Factor], left: int, axes: list[int], *, is_first: bool, result: ChannelGrouping) -> int:
    """Let a new dimension, of which `left` is still missing, take the next factor or a part of it."""
    have, axis = factors.pop(0)
    if have > left and have % left == 0 and (axis is None or is_first):
        factors.insert(0, (have // left, None))
        if axis is not None:
            result.splits[axis] = have // left
        have = left
    fits = left % have == 0
    if fits and axis is None and len(axes) == 1:
        result.merges[axes[0]] = result.merges.get(axes[0], 1) * have
    elif not fits or (axis is None and axes) or (axis is not None and not is_first and not axes):
        raise Unsupported("it splits the plane into pieces, or mixes positions with channels, by reshaping")
    elif axis is not None and any(a in result.merges for a in axes):
        raise Unsupported("it mixes positions with channels by reshaping")
    axes += [axis] if axis is not None else []
    return left // have


OPERATORS: Operators = {
    "aten.view.default": Operator(view, is_view=True),
    "aten._unsafe_view.default": Operator(view),
    "aten.reshape.default": Operator(view),
    "aten.unflatten.int": Operator(view),
    "aten.flatten.using_ints": Operator(view),
}
