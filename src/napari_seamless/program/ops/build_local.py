"""Builders for operators that need just the output's own pixel: pointwise, along channels, renaming dimensions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from napari_seamless.program.ops.local import Local, LocalShape, Slot, Weight
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Request,
    Unplaced,
    Unsupported,
    flatten,
    require_channels,
    wrap,
)
from napari_seamless.program.spans import Dims

Builder = Callable[[Request], Built]


def stored(request: Request, dims: Dims, *, is_view: bool = False, args: tuple[Any, ...] | None = None) -> Built:
    """The request as a stored local call with output dimensions `dims`."""
    images: list[ImageArgument] = []

    def pack(item: Any) -> Any:
        if isinstance(item, ImageArgument):
            images.append(item)
            return Slot(len(images) - 1)
        if isinstance(item, Constant):
            return Weight(item.name)
        return tuple(pack(i) for i in item) if isinstance(item, tuple | list) else item

    packed = tuple(pack(a) for a in (request.args if args is None else args))
    kwargs = tuple((k, pack(v)) for k, v in request.kwargs.items())
    domain = _domain(request, dims, images)
    domains = tuple(i.value.domain for i in images)
    operation = Local(request.target, packed, kwargs, domains, domain, request.part, is_view)
    return Built(operation, tuple(images), dims, domain)


def _domain(request: Request, dims: Dims, images: list[ImageArgument]) -> tuple[int | None, ...]:
    """Sizes along each spatial axis: the output's own where a dimension is one axis, else the (equal) inputs'."""
    sizes: list[int | None] = [None] * request.ndim
    for size, axes in zip(request.shape, dims, strict=True):
        for axis in axes:
            known = [i.value.domain[axis] for i in images if i.value.domain[axis] is not None]
            sizes[axis] = size if len(axes) == 1 else max(n for n in known if n is not None)
    return tuple(sizes)


def pointwise(request: Request) -> Built:
    """Any elementwise operator, with broadcasting: dimensions are matched from the last one."""
    rank = len(request.shape)
    dims: list[tuple[int, ...]] = [()] * rank
    for image in request.images:
        shift = rank - len(image.value.shape)
        for d, axes in enumerate(image.value.dims):
            if axes and dims[shift + d] and dims[shift + d] != axes:
                raise Unsupported("it combines one spatial axis with another")
            dims[shift + d] = axes or dims[shift + d]
    built = stored(request, tuple(dims))
    for item in flatten((request.args, tuple(request.kwargs.values()))):
        if isinstance(item, Constant):
            _refuse_whole_constants(item, request, tuple(dims))
    return built


def _refuse_whole_constants(constant: Constant, request: Request, dims: Dims) -> None:
    shift = len(request.shape) - constant.tensor.dim()
    for d, size in enumerate(constant.tensor.shape):
        if dims[shift + d] and size > 1:
            raise Unsupported("it uses a constant as large as the image in a way that is not known here")


def along_channels(*positions: int, keepdim_at: int | None = None) -> Builder:
    """Operators along the dimension(s) in argument `positions[0]`; `keepdim_at` for those that drop them."""

    def build(request: Request) -> Built:
        image = request.image()
        rank = len(image.value.shape)
        given = request.kwargs.get("dim", request.arg(positions[0], None))
        chosen = list(range(rank)) if given is None or given == [] else given
        along = [wrap(d, rank) for d in (chosen if isinstance(chosen, list | tuple) else [chosen])]
        require_channels(image.value, along, "reduces")
        dims = list(image.value.dims)
        keep = request.kwargs.get("keepdim", request.arg(keepdim_at, False) if keepdim_at is not None else True)
        if not keep:
            dims = [axes for d, axes in enumerate(dims) if d not in along]
        return stored(request, tuple(dims))

    return build


def prelu(request: Request) -> Built:
    """Its slopes lie along dimension 1, so they are not broadcast from the last one."""
    request.constant(1, "slope")
    return stored(request, request.image().value.dims)


def layer_norm(request: Request) -> Built:
    image = request.image()
    count, rank = len(request.arg(1)), len(image.value.shape)
    require_channels(image.value, list(range(rank - count, rank)), "normalises")
    return stored(request, image.value.dims)


def linear(request: Request) -> Built:
    """A matrix along the last dimension; the matrix must be a constant."""
    image = request.image()
    request.constant(1, "matrix")
    if len(image.value.shape) < 2 or image.value.dims[-1]:
        raise Unsupported("it is a matrix product over positions, so every region needs the whole image")
    return stored(request, image.value.dims)


def permute(request: Request) -> Built:
    image = request.image()
    order = [wrap(d, len(image.value.shape)) for d in request.arg(1)]
    return stored(request, tuple(image.value.dims[d] for d in order), is_view=True)


def transpose(request: Request) -> Built:
    image = request.image()
    rank = len(image.value.shape)
    dims = list(image.value.dims)
    a, b = wrap(request.arg(1), rank), wrap(request.arg(2), rank)
    dims[a], dims[b] = dims[b], dims[a]
    return stored(request, tuple(dims), is_view=True)


def unsqueeze(request: Request) -> Built:
    image = request.image()
    dims = list(image.value.dims)
    dims.insert(wrap(request.arg(1), len(dims) + 1), ())
    return stored(request, tuple(dims), is_view=True)


def squeeze(request: Request) -> Built:
    """Dropping dimensions of (true) size 1. Without a list torch would look at the local size, so it gets a list."""
    image = request.image()
    rank = len(image.value.shape)
    given = request.arg(1)
    chosen = range(rank) if given is None else [given] if isinstance(given, int) else given
    gone = [d for d in (wrap(c, rank) for c in chosen) if image.value.shape[d] == 1]
    dims = tuple(axes for d, axes in enumerate(image.value.dims) if d not in gone)
    listed = Request("aten.squeeze.dims", (image, gone), {}, request.shape, request.dtype, request.ndim)
    return stored(listed, dims, is_view=True)


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
    return stored(local, tuple(dims), is_view=True, args=args)


def repeat(request: Request) -> Built:
    image = request.image()
    times = request.arg(1)
    dims: Dims = ((),) * (len(times) - len(image.value.shape)) + image.value.dims
    if not any(dims) and set(image.value.shape[-request.ndim :]) == {1}:
        return expand(request)
    if any(axes and n != 1 for axes, n in zip(dims, times, strict=True)):
        raise Unsupported("it repeats the image along a spatial axis")
    return stored(request, dims)


def stack(request: Request) -> Built:
    images = request.arg(0)
    if not all(isinstance(i, ImageArgument) for i in images):
        raise Unsupported("it stacks the image with a constant")
    dims = list(images[0].value.dims)
    dims.insert(wrap(request.arg(1, 0), len(dims) + 1), ())
    return stored(request, tuple(dims))


def batch_norm(request: Request) -> Built:
    """Batch norm with stored statistics: one factor and one summand a channel."""
    if request.part != 0:
        raise Unsupported("the saved statistics of a batch norm are not available")
    image = request.image()
    for position, what in ((1, "scale"), (2, "shift"), (3, "mean"), (4, "variance")):
        request.constant(position, what)
    return stored(request, image.value.dims)


def channel_index(request: Request) -> Built:
    """Picking channels by a constant list of numbers."""
    image, index = request.image(), request.arg(1)
    if not all(i is None or isinstance(i, Constant) for i in index):
        raise Unsupported("its index is computed from the image")
    used = [d for d, i in enumerate(index) if i is not None]
    if len(used) != 1 or index[used[0]].tensor.dim() != 1 or index[used[0]].tensor.dtype == torch.bool:
        raise Unsupported("it gathers pixels by a table")
    require_channels(image.value, used, "gathers")
    return stored(request, image.value.dims)


def channel_scatter(request: Request) -> Built:
    """Writing into a slice of the channels."""
    image = request.image()
    require_channels(image.value, [wrap(request.arg(2, 0), len(image.value.shape))], "writes into a slice")
    return stored(request, image.value.dims)
