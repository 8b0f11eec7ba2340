"""Builders for order statistics: quantile, median, kthvalue, and our own percentile."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, prod

import torch

from napari_seamless.program.ops.build_barriers import along_of
from napari_seamless.program.ops.build_local import stored
from napari_seamless.program.ops.order import Digits, levels
from napari_seamless.program.ops.request import Built, Constant, ImageArgument, Pending, Request, Unsupported
from napari_seamless.program.spans import Dims

Place = tuple[int, int, float]
"""Two ranks, and the weight of the second."""

KINDS = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16)


def quantile(request: Request) -> Built:
    """aten.quantile(input, q, dim, keepdim, *, interpolation), q a number or a constant tensor of them."""
    image, given = request.image(), request.arg(1)
    along = along_of(request, image, 2)
    if isinstance(given, ImageArgument):
        raise Unsupported("its q is computed from the image")
    wanted = given.tensor.flatten().tolist() if isinstance(given, Constant) else [given]
    count = prod(image.value.shape[d] for d in along)
    mode = request.kwargs.get("interpolation", "linear")
    places = [_place(_as_torch_rounds(q, count - 1, image.value.dtype), mode) for q in wanted]
    return _ordered(request, image, along, places)


def _as_torch_rounds(q: float, last: int, dtype: torch.dtype) -> float:
    """torch multiplies in the image's own precision."""
    return float(torch.tensor(q, dtype=dtype) * torch.tensor(last, dtype=dtype))


def _place(position: float, mode: str) -> Place:
    low, high = floor(position), ceil(position)
    match mode:
        case "lower":
            return low, low, 0.0
        case "higher":
            return high, high, 0.0
        case "midpoint":
            return low, high, 0.5
        case "nearest":
            return round(position), round(position), 0.0
    return low, high, position - low


def median(request: Request) -> Built:
    """aten.median(input) and aten.median.dim(input, dim, keepdim): of an even number torch takes the lower one."""
    image = request.image()
    along = along_of(request, image, 1)
    rank = (prod(image.value.shape[d] for d in along) - 1) // 2
    return _ordered(request, image, along, [(rank, rank, 0.0)])


def kth_value(request: Request) -> Built:
    """aten.kthvalue(input, k, dim, keepdim), k counted from 1."""
    image, rank = request.image(), request.arg(1) - 1
    positions = (image, request.arg(2, -1))
    plain = Request(request.target, positions, {}, request.shape, request.dtype, request.ndim)
    return _ordered(request, image, along_of(plain, image, 1), [(rank, rank, 0.0)])


def percentile(request: Request) -> Built:
    """napari_seamless.percentile(input, percentiles, per channel) -> (percentiles, channels or 1)."""
    image, wanted = request.image(), request.arg(1)
    rank = len(image.value.shape)
    along = [0, *range(2, rank)] if request.arg(2) else list(range(rank))
    last = prod(image.value.shape[d] for d in along) - 1
    return _ordered(request, image, along, [_place(q / 100 * last, "linear") for q in wanted])


def _ordered(request: Request, image: ImageArgument, along: list[int], places: Sequence[Place]) -> Built:
    """One barrier for each digit, one behind the other."""
    value = image.value
    if request.part == 1:
        raise Unsupported("it uses the positions of ordered values, which are not measured")
    if not any(value.dims[d] for d in along):
        return stored(request, _without(request, value.dims, along))
    if any(axes and d not in along and value.shape[d] > 1 for d, axes in enumerate(value.dims)):
        raise Unsupported("it orders along one spatial axis and not along another")
    if value.dtype not in KINDS:
        raise Unsupported(f"numbers of type {value.dtype} are not ordered over the plane; convert them to float")
    kept = tuple(d for d in range(len(value.shape)) if d not in along)
    ranks = tuple(sorted({r for low, high, _ in places for r in (low, high)}))
    mixed = tuple((ranks.index(low), ranks.index(high), weight) for low, high, weight in places)
    depth = levels(value.dtype)
    middle = (2, prod(value.shape[d] for d in kept), len(ranks))
    inputs: tuple[ImageArgument | Pending, ...] = (image,)
    for level in range(depth):
        is_last = level == depth - 1
        shape, dtype = (request.shape, request.dtype) if is_last else (middle, torch.float64)
        dims = (value.dims,) if not level else (value.dims, ((), (), ()))
        barrier = Digits(dims, value.domain, shape, dtype, level, depth, kept, ranks, mixed)
        built = Built(barrier, inputs, ((),) * len(shape))
        inputs = (image, Pending(built, shape, dtype))
    return built


def _without(request: Request, dims: Dims, along: list[int]) -> Dims:
    """The dimensions of a result of which channels alone are ordered."""
    left = dims if len(request.shape) >= len(dims) else tuple(a for d, a in enumerate(dims) if d not in along)
    return ((),) * (len(request.shape) - len(left)) + left
