"""Builders for operators that look at the whole plane: each becomes a barrier, and what uses its value pixel by pixel.

Where the same operator stays within channels it is built as a local one instead.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from napari_seamless.program.ops.barrier import (
    Barrier,
    Length,
    LogSumExp,
    Mean,
    ScaleShift,
    Total,
    Variance,
)
from napari_seamless.program.ops.bins import Bins
from napari_seamless.program.ops.build_local import Builder, along_channels, stored
from napari_seamless.program.ops.build_local import layer_norm as local_layer_norm
from napari_seamless.program.ops.extremum import Extremum
from napari_seamless.program.ops.normalise import Normalise, SpatialSoftmax
from napari_seamless.program.ops.request import Built, ImageArgument, Pending, Request, Unsupported, wrap
from napari_seamless.program.spans import Dims

MOST_BINS = 1 << 14

Make = Callable[[Request, ImageArgument, tuple[int, ...]], Barrier]
"""From a request, its image and the channel-like dimensions reduced as well (numbered among channel-like ones)."""


def reducing(make: Make, *, dim_at: int | None = 1, keepdim_at: int | None = 2) -> Builder:
    """An operator that reduces the dimensions in argument `dim_at` (all, if None or not given)."""
    local = along_channels(dim_at, keepdim_at=keepdim_at) if dim_at is not None else None

    def build(request: Request) -> Built:
        image = request.image()
        along = along_of(request, image, dim_at)
        if not any(image.value.dims[d] for d in along):
            if local is None:
                return stored(request, tuple(() for _ in request.shape))
            return local(request)
        return reduced(request, image, along, make)

    return build


def reduced(request: Request, image: ImageArgument, along: list[int], make: Make) -> Built:
    """The barrier over the dimensions `along` of an image."""
    value = image.value
    for d, axes in enumerate(value.dims):
        if axes and d not in along and value.shape[d] > 1:
            raise Unsupported("it reduces one spatial axis and keeps another")
    barrier = make(request, image, _also(image, along))
    keeps = len(request.shape) == len(value.shape)
    kept = tuple(axes if len(axes) == 1 else () for axes in value.dims)
    dims = kept if keeps else tuple(kept[d] for d in range(len(kept)) if d not in along)
    return Built(barrier, (image,), dims)


def along_of(request: Request, image: ImageArgument, dim_at: int | None) -> list[int]:
    """The dimensions in argument `dim_at` or keyword `dim`, counted from the front; all, if None."""
    rank = len(image.value.shape)
    given = request.arg(dim_at, None) if dim_at is not None else None
    given = request.kwargs.get("dim", given)
    if given is None or given in ([], ()):
        return list(range(rank))
    return [wrap(d, rank) for d in (given if isinstance(given, list | tuple) else [given])]


def _also(image: ImageArgument, along: list[int]) -> tuple[int, ...]:
    channels = [d for d, axes in enumerate(image.value.dims) if not axes]
    return tuple(k for k, d in enumerate(channels) if d in along)


def common(request: Request, image: ImageArgument) -> dict[str, Any]:
    """What every barrier over one image is told."""
    return {
        "dims": (image.value.dims,),
        "domain": image.value.domain,
        "shape": request.shape,
        "dtype": request.dtype,
    }


def mean(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return Mean(**common(request, image), also=also)


def total(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return Total(**common(request, image), also=also)


def extremum(largest: bool, *, first: bool = False) -> Make:
    """`first` says that of equal extremes torch gives the gradient to the first, instead of sharing it."""

    def make(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
        if request.part == 1:
            raise Unsupported("it uses the positions of extreme values, which are not measured")
        is_first = first or request.target.endswith(".dim")
        return Extremum(**common(request, image), largest=largest, also=also, first=is_first and not also)

    return make


def log_sum_exp(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return LogSumExp(**common(request, image), also=also)


def spread(*, root: bool, correction_at: int | None = None) -> Make:
    """var and std; `correction_at` is the position of "unbiased", None where `correction` is a keyword."""

    def make(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
        if correction_at is not None:
            correction = float(request.kwargs.get("unbiased", request.arg(correction_at, True)))
        else:
            given = request.kwargs.get("correction")
            correction = 1.0 if given is None else float(given)
        return Variance(**common(request, image), also=also, correction=correction, root=root)

    return make


def spread_and_mean(*, root: bool) -> Make:
    """std_mean and var_mean: two results, of which the request asks for one."""
    first = spread(root=root)
    return lambda request, image, also: (mean if request.part else first)(request, image, also)


def least_and_most(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    """aminmax: two results, of which the request asks for one."""
    return Extremum(**common(request, image), largest=request.part == 1, also=also)


def length(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    """aten.linalg_vector_norm(input, ord, dim, keepdim)."""
    if float(request.arg(1, 2)) != 2.0:
        raise Unsupported(f"its norm of order {request.arg(1)} over the plane is not measured; order 2 is")
    return Length(**common(request, image), also=also)


def instance_norm(request: Request) -> Built:
    """aten.instance_norm(input, weight, bias, mean, variance, use_input_stats, momentum, eps)."""
    image = request.image()
    if not request.arg(5, True):
        order = (image, request.arg(1), request.arg(2), request.arg(3), request.arg(4), False, 0.1, request.arg(7))
        target = "aten.native_batch_norm.default"
        plain = Request(target, order, {}, request.shape, request.dtype, request.ndim, 0)
        return stored(plain, image.value.dims)
    channels = image.value.shape[0] * image.value.shape[1]
    return _normalised(request, image, channels, float(request.arg(7, 1e-5)), (request.arg(1), request.arg(2)))


def batch_norm(request: Request) -> Built:
    """aten._native_batch_norm_legit.no_stats(input, weight, bias, training, momentum, eps)."""
    image = request.image()
    if request.part not in (None, 0):
        raise Unsupported("the statistics that a batch norm saves are not available")
    if image.value.shape[0] != 1:
        raise Unsupported("it normalises over several images at once")
    groups, affine = image.value.shape[1], (request.arg(1), request.arg(2))
    return _normalised(request, image, groups, float(request.arg(5)), affine)


def batch_norm_in_training(request: Request) -> Built:
    """aten._native_batch_norm_legit_functional(input, weight, bias, mean, variance, training, momentum, eps)."""
    order = (*request.args[:3], True, request.arg(6), request.arg(7))
    return batch_norm(replace(request, args=order))


def group_norm(request: Request) -> Built:
    """aten.group_norm(input, groups, weight, bias, eps)."""
    image = request.image()
    groups = request.arg(1) * image.value.shape[0]
    return _normalised(request, image, groups, float(request.arg(4, 1e-5)), (request.arg(2), request.arg(3)))


def native_group_norm(request: Request) -> Built:
    """aten.native_group_norm(input, weight, bias, n, c, positions, groups, eps)."""
    if request.part not in (None, 0):
        raise Unsupported("the statistics that a group norm saves are not available")
    image = request.image()
    groups = request.arg(6) * image.value.shape[0]
    return _normalised(request, image, groups, float(request.arg(7)), (request.arg(1), request.arg(2)))


def layer_norm(request: Request) -> Built:
    """aten.layer_norm(input, normalised shape, weight, bias, eps), over channels alone or the plane too."""
    image = request.image()
    rank = len(image.value.shape)
    first = rank - len(request.arg(1))
    dims = image.value.dims
    if not any(dims[first:]):
        return local_layer_norm(request)
    if any(dims[:first]):
        raise Unsupported("it normalises along one spatial axis and not along another")
    groups = _product(n for n, axes in zip(image.value.shape[:first], dims[:first], strict=True) if not axes)
    given = [a for a in (request.arg(2), request.arg(3)) if a is not None]
    if not all(isinstance(a, ImageArgument) for a in given):
        raise Unsupported("its weights have no positions, though it normalises over the plane")
    factors = _factors(request, image, groups, float(request.arg(4, 1e-5)), (None, None))
    affine = tuple(a.value.dims for a in given)
    operation = Normalise(dims, image.value.domain, affine, request.arg(2) is not None)
    return Built(operation, (image, factors, *given), dims, image.value.domain)


def _normalised(request: Request, image: ImageArgument, groups: int, eps: float, affine: tuple[Any, Any]) -> Built:
    """A normalisation of channels, in groups, over the plane."""
    for position, name in zip(affine, ("scale", "shift"), strict=True):
        if isinstance(position, ImageArgument):
            raise Unsupported(f"its {name} is computed from the image, so it differs from region to region")
    dims = image.value.dims
    if not any(dims):
        return stored(request, dims)
    factors = _factors(request, image, groups, eps, affine)
    return Built(Normalise(dims, image.value.domain), (image, factors), dims, image.value.domain)


def _factors(request: Request, image: ImageArgument, groups: int, eps: float, affine: tuple[Any, Any]) -> Pending:
    channels = _product(n for n, axes in zip(image.value.shape, image.value.dims, strict=True) if not axes)
    shape = (3, channels)
    names = [a.name if a is not None else None for a in affine]
    barrier = ScaleShift((image.value.dims,), image.value.domain, shape, request.dtype, groups, eps, *names)
    return Pending(Built(barrier, (image,), ((), ())), shape, request.dtype)


def softmax(*, log: bool) -> Builder:
    """aten.softmax.int(input, dim): along channels it is local, along (flattened) positions a barrier."""
    local = along_channels(1)

    def build(request: Request) -> Built:
        image = request.image()
        dim = wrap(request.arg(1), len(image.value.shape))
        value = image.value
        if not value.dims[dim]:
            return local(request)
        if any(axes and d != dim and value.shape[d] > 1 for d, axes in enumerate(value.dims)):
            raise Unsupported("it normalises along one spatial axis and not along another")
        keep = tuple(1 if axes else n for n, axes in zip(value.shape, value.dims, strict=True))
        inner = Request(request.target, request.args, {}, keep, request.dtype, request.ndim)
        barrier = Built(log_sum_exp(inner, image, ()), (image,), ((),) * len(keep))
        pending = Pending(barrier, keep, request.dtype)
        return Built(SpatialSoftmax(keep, log), (image, pending), value.dims, value.domain)

    return build


def bins(request: Request, rank: int, *, largest: bool) -> Built:
    """Adaptive pooling into large bins."""
    image = request.image()
    if request.part == 1:
        raise Unsupported("it uses the positions of the maxima")
    dims: Dims = image.value.dims
    counts = request.shape[-rank:]
    if any(axes for axes in dims[:-rank]):
        raise Unsupported("it pools some spatial axes and not others")
    if not any(dims):
        return stored(request, dims)
    if _product(counts) > MOST_BINS:
        raise Unsupported(f"it pools the plane into {_product(counts)} bins; at most {MOST_BINS} are measured")
    if all(n == 1 for n in counts):
        make = extremum(True, first=True) if largest else mean
        return Built(make(request, image, ()), (image,), dims)
    return Built(Bins(**common(request, image), counts=counts, largest=largest), (image,), dims)


def _product(sizes: Any) -> int:
    result = 1
    for n in sizes:
        result *= n
    return result


def is_whole(request: Request, kernel: list[int], padding: list[int]) -> bool:
    """Whether a pooling with such a kernel covers the whole plane at once."""
    image = request.image()
    sizes = image.value.shape[-len(kernel) :]
    return (
        max(sizes) > 1
        and all(k >= n for k, n in zip(kernel, sizes, strict=True))
        and not any(padding)
        and all(n == 1 for n in request.shape[-len(kernel) :])
        and request.dtype.is_floating_point
        and image.value.dtype in (torch.float32, torch.float64)
    )
