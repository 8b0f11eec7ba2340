"""Operators that rename dimensions, and stretch those of size 1: permute, squeeze, expand, repeat."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_seamless.program.ops.index import Enlarged, Periodic, copy_along
from napari_seamless.program.ops.local import Local, LocalShape, View, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Memory,
)
from napari_seamless.program.ops.request import (
    Built,
    ImageArgument,
    Operator,
    Operators,
    Pending,
    Request,
    Unplaced,
    Unsupported,
    wrap,
)
from napari_seamless.program.spans import Dims
from napari_seamless.program.value import Value


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
    """One position may be stretched over the plane, where it is clear which new dimension is which axis.

    Beside positions, a dimension that stands where an axis would, and has none, is that axis; others are channels.
    """
    image = request.image()
    shift = len(request.shape) - len(image.value.shape)
    dims = list(((),) * shift + image.value.dims)
    grown = [d for d in range(shift, len(dims)) if request.shape[d] != image.value.shape[d - shift]]
    if any(image.value.dims):
        _place(dims, grown, request.ndim)
    if not any(image.value.dims) and grown:
        if len(grown) != request.ndim:
            raise Unplaced("it stretches one number over a part of the plane")
        for axis, d in enumerate(grown):
            dims[d] = (axis,)
    args = (image, LocalShape(request.shape, tuple(dims)))
    local = Request("aten.expand.default", (), {}, request.shape, request.dtype, request.ndim)
    return stored(local, tuple(dims), Expanded, args=args)


def _place(dims: list[tuple[int, ...]], grown: list[int], ndim: int) -> None:
    """Give axes to those of the dimensions `grown` that stand where axes do."""
    first = len(dims) - ndim
    if any(axes and axes != (d - first,) for d, axes in enumerate(dims)):
        return
    for d in grown:
        if not dims[d] and d >= first:
            dims[d] = (d - first,)


def repeat(request: Request) -> Built:
    """aten.repeat(input, times): channels are repeated as they are held, positions by where they lie."""
    image = request.image()
    times = request.arg(1)
    shift = len(times) - len(image.value.shape)
    dims: Dims = ((),) * shift + image.value.dims
    if not any(dims) and set(image.value.shape[-request.ndim :]) == {1}:
        return expand(request)
    again = [d for d, n in enumerate(times) if dims[d] and n != 1]
    if not again:
        return stored(request, dims, Repeated)
    moved = copy_along(image, [(d - shift, Periodic(image.value.shape[d - shift])) for d in again])
    if all(n == 1 for d, n in enumerate(times) if d not in again) and not shift:
        return moved
    sizes = tuple(n * times[d + shift] if d + shift in again else n for d, n in enumerate(image.value.shape))
    local = tuple(1 if d in again else n for d, n in enumerate(times))
    domain = list(image.value.domain)
    for d in again:
        domain[dims[d][0]] = sizes[d - shift]
    larger = ImageArgument(image.index, Value(sizes, request.dtype, image.value.dims, tuple(domain)))
    channels = stored(replace(request, args=(larger, local)), dims, Repeated)
    return replace(channels, inputs=(Pending(moved, sizes, request.dtype),))


def repeat_interleave(request: Request) -> Built:
    """aten.repeat_interleave.self_int(input, times, dim)."""
    image, times = request.image(), request.arg(1)
    given = request.kwargs.get("dim", request.arg(2))
    if given is None:
        raise Unsupported("it repeats the flattened image")
    dim = wrap(given, len(image.value.shape))
    if not image.value.dims[dim]:
        return stored(request, image.value.dims, Repeated)
    return copy_along(image, [(dim, Enlarged(image.value.shape[dim], times))])


OPERATORS: Operators = {
    "aten.permute.default": Operator(permute, is_view=True),
    "aten.transpose.int": Operator(transpose, is_view=True),
    "aten.unsqueeze.default": Operator(unsqueeze, is_view=True),
    **{f"aten.squeeze.{kind}": Operator(squeeze, is_view=True) for kind in ("default", "dim", "dims")},
    "aten.expand.default": Operator(expand, is_view=True),
    "aten.repeat.default": Operator(repeat),
    "aten.repeat_interleave.self_int": Operator(repeat_interleave),
}
