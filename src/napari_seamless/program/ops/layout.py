"""Operators that rename dimensions, and stretch those of size 1: permute, squeeze, expand, repeat."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.program.ops.local import Local, LocalShape, View, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Memory,
)
from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Request,
    Unplaced,
    Unsupported,
    wrap,
)
from napari_seamless.program.spans import Dims


@dataclass(frozen=True)
class Expanded(View):
    """A view in which many positions share one place in memory."""

    @property
    def memory(self) -> Memory:
        return "constant"


@dataclass(frozen=True)
class Repeated(Local):
    """A stored call that repeats channels."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"


def permute(request: Request) -> Built:
    image = request.image()
    order = [wrap(d, len(image.value.shape)) for d in request.arg(1)]
    return stored(request, tuple(image.value.dims[d] for d in order), View)


def transpose(request: Request) -> Built:
    image = request.image()
    rank = len(image.value.shape)
    dims = list(image.value.dims)
    a, b = wrap(request.arg(1), rank), wrap(request.arg(2), rank)
    dims[a], dims[b] = dims[b], dims[a]
    return stored(request, tuple(dims), View)


def unsqueeze(request: Request) -> Built:
    image = request.image()
    dims = list(image.value.dims)
    dims.insert(wrap(request.arg(1), len(dims) + 1), ())
    return stored(request, tuple(dims), View)


def squeeze(request: Request) -> Built:
    """Dropping dimensions of (true) size 1. Without a list torch would look at the local size, so it gets a list."""
    image = request.image()
    rank = len(image.value.shape)
    given = request.arg(1)
    chosen = range(rank) if given is None else [given] if isinstance(given, int) else given
    gone = [d for d in (wrap(c, rank) for c in chosen) if image.value.shape[d] == 1]
    dims = tuple(axes for d, axes in enumerate(image.value.dims) if d not in gone)
    listed = Request("aten.squeeze.dims", (image, gone), {}, request.shape, request.dtype, request.ndim)
    return stored(listed, dims, View)


def expand(request: Request) -> Built:
    """One position may be stretched over the plane, where it is clear which new dimension is which axis."""
    image = request.image()
    shift = len(request.shape) - len(image.value.shape)
    dims = list(((),) * shift + image.value.dims)
    grown = [d for d in range(shift, len(dims)) if request.shape[d] != image.value.shape[d - shift]]
    if any(image.value.dims) and any(not dims[d] for d in grown):
        raise Unsupported("it repeats channels by stretching them, beside positions")
    if not any(image.value.dims) and grown:
        if len(grown) != request.ndim:
            raise Unplaced("it stretches one number over a part of the plane")
        for axis, d in enumerate(grown):
            dims[d] = (axis,)
    args = (image, LocalShape(request.shape, tuple(dims)))
    local = Request("aten.expand.default", (), {}, request.shape, request.dtype, request.ndim)
    return stored(local, tuple(dims), Expanded, args=args)


def repeat(request: Request) -> Built:
    image = request.image()
    times = request.arg(1)
    dims: Dims = ((),) * (len(times) - len(image.value.shape)) + image.value.dims
    if not any(dims) and set(image.value.shape[-request.ndim :]) == {1}:
        return expand(request)
    if any(axes and n != 1 for axes, n in zip(dims, times, strict=True)):
        raise Unsupported("it repeats the image along a spatial axis")
    return stored(request, dims, Repeated)


OPERATORS: Operators = {
    "aten.permute.default": Operator(permute, is_view=True),
    "aten.transpose.int": Operator(transpose, is_view=True),
    "aten.unsqueeze.default": Operator(unsqueeze, is_view=True),
    **{f"aten.squeeze.{kind}": Operator(squeeze, is_view=True) for kind in ("default", "dim", "dims")},
    "aten.expand.default": Operator(expand, is_view=True),
    "aten.repeat.default": Operator(repeat),
}
