"""A part of a tensor: slice, select, split, unbind; and the same pixels in another order: flip, roll."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from napari_seamless.program.ops.index import Bordered, Strided, copy_along
from napari_seamless.program.ops.local import View, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Memory,
    Operation,
)
from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Pending,
    Request,
    Unsupported,
    each,
    spatial_axis,
    wrap,
)
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Select(Operation):
    """One fixed pixel of one axis, which the result no longer has."""

    axis: int
    dim: int
    at: int

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        return ((self.at, self.at + 1) if axis == self.axis else span,)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return inputs[0].select(self.dim, 0)


def slice_(request: Request) -> Built:
    """aten.slice(input, dim, start, end, step)."""
    image = request.image()
    dim = wrap(request.arg(1, 0), len(image.value.shape))
    if not image.value.dims[dim]:
        return stored(request, image.value.dims, View)
    start, step = request.arg(2) or 0, request.arg(4, 1)
    size = image.value.shape[dim]
    start = min(max(start + size if start < 0 else start, 0), size)
    return copy_along(image, [(dim, Strided(size, start, step))])


def piece(request: Request) -> Built:
    """One part of a split, chunk or unbind: a slice, or a selection."""
    image = request.image()
    rank = len(image.value.shape)
    assert request.part is not None
    if request.target.startswith("aten.unbind"):
        return select(_as("aten.select.int", request, (image, request.arg(1, 0), request.part)))
    dim = wrap(request.arg(2, 0), rank)
    sizes = request.arg(1)
    start = sizes * request.part if isinstance(sizes, int) else sum(sizes[: request.part])
    return slice_(_as("aten.slice.Tensor", request, (image, dim, start, start + request.shape[dim], 1)))


def _as(target: str, request: Request, args: tuple[Any, ...]) -> Request:
    return Request(target, args, {}, request.shape, request.dtype, request.ndim)


def select(request: Request) -> Built:
    """aten.select(input, dim, index)."""
    image = request.image()
    dim = wrap(request.arg(1), len(image.value.shape))
    dims = image.value.dims[:dim] + image.value.dims[dim + 1 :]
    axis = spatial_axis(image.value, dim)
    if axis is None:
        return stored(request, dims, View)
    at = request.arg(2)
    size = image.value.shape[dim]
    return Built(Select(axis, dim, at + size if at < 0 else at), (image,), dims)


def flip(request: Request) -> Built:
    image = request.image()
    dims = [wrap(d, len(image.value.shape)) for d in request.arg(1)]
    if all(not image.value.dims[d] for d in dims):
        return stored(request, image.value.dims)
    along = [d for d in dims if image.value.dims[d]]
    moved = copy_along(image, [(d, Strided(image.value.shape[d], image.value.shape[d] - 1, -1)) for d in along])
    return _also(request, moved, (image, [d for d in dims if d not in along]), "aten.flip.default")


def roll(request: Request) -> Built:
    image = request.image()
    shifts, dims = each(request.arg(1), 1), [wrap(d, len(image.value.shape)) for d in request.arg(2, [])]
    if not dims:
        raise Unsupported("it rolls the flattened image")
    if all(not image.value.dims[d] for d in dims):
        return stored(request, image.value.dims)
    by = list(zip(dims, shifts, strict=True))
    along = [(d, s) for d, s in by if image.value.dims[d]]
    rest = [(d, s) for d, s in by if not image.value.dims[d]]
    moved = copy_along(
        image, [(d, Bordered(image.value.shape[d], s % image.value.shape[d], "circular")) for d, s in along]
    )
    return _also(request, moved, (image, [s for _, s in rest], [d for d, _ in rest]), "aten.roll.default")


def _also(request: Request, moved: Built, args: tuple[Any, ...], target: str) -> Built:
    """What moved positions, and then the same for the channels that are named last in `args`, if any."""
    if not args[-1]:
        return moved
    image = request.image()
    channels = stored(_as(target, request, args), image.value.dims)
    return replace(channels, inputs=(Pending(moved, request.shape, request.dtype),))


OPERATORS: Operators = {
    "aten.slice.Tensor": Operator(slice_, is_view=True),
    "aten.select.int": Operator(select, is_view=True),
    "aten.split.Tensor": Operator(piece),
    "aten.split_with_sizes.default": Operator(piece),
    "aten.unbind.int": Operator(piece),
    "aten.flip.default": Operator(flip),
    "aten.roll.default": Operator(roll),
}
