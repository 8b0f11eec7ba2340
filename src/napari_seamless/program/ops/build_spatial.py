"""Builders for operators that look at neighbours or move pixels: conv, pool, pad, slice, cat, resize, shuffle."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from napari_seamless.program.ops import build_barriers as barriers
from napari_seamless.program.ops.arrange import PixelShuffle, PixelUnshuffle, SpatialCat
from napari_seamless.program.ops.build_local import expand, stored
from napari_seamless.program.ops.conv import Conv, Stretch, TransposedConv
from napari_seamless.program.ops.index import Bordered, ConstantPad, Copy, Enlarge, Index, Nearest, Select, Strided
from napari_seamless.program.ops.pool import AvgPool, MaxPool
from napari_seamless.program.ops.request import Built, ImageArgument, Request, Unsupported, spatial_axis, wrap
from napari_seamless.program.ops.resample import Resample, Resize
from napari_seamless.program.ops.sliding import Slide

Builder = Callable[[Request], Built]
LARGEST_BIN = 64
FEW_BINS = 8
"""Adaptive pooling is local with more than FEW_BINS bins of at most LARGEST_BIN pixels a side, else a barrier."""


def _axes(image: ImageArgument, count: int) -> list[int | None]:
    """The spatial axes of the last `count` dimensions."""
    rank = len(image.value.shape)
    return [spatial_axis(image.value, d) for d in range(rank - count, rank)]


def _all_axes(image: ImageArgument, count: int, what: str) -> list[int]:
    axes = _axes(image, count)
    if any(a is None for a in axes):
        raise Unsupported(f"it {what} along a dimension that is not spatial")
    return [a for a in axes if a is not None]


def _each(given: Any, count: int) -> list[int]:
    """torch's "one number or one for each dimension"."""
    numbers = [given] if isinstance(given, int) else list(given)
    return numbers * count if len(numbers) == 1 else numbers


def conv(rank: int) -> Builder:
    """aten.convN(input, weight, bias, stride, padding, dilation, groups); padding may be "same" or "valid"."""

    def build(request: Request) -> Built:
        stride, dilation = _each(request.arg(3, 1), rank), _each(request.arg(5, 1), rank)
        weight = request.arg(1)
        request.constant(1, "weight")
        pads = _conv_pads(request.arg(4, 0), weight.tensor.shape[2:], dilation)
        return _conv(request, stride, pads, dilation, request.arg(6, 1))

    return build


def _conv_pads(given: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    if given == "valid":
        return [(0, 0)] * len(kernel)
    if given == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(p, p) for p in _each(given, len(kernel))]


def _conv(request: Request, stride: list[int], pads: list[tuple[int, int]], dilation: list[int], groups: int) -> Built:
    image, weight = request.image(), request.arg(1).tensor
    rank = weight.dim() - 2
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes = _axes(image, rank)
    shape = image.value.shape[-rank:]
    slides = tuple(Slide(axes[k], weight.shape[2 + k], stride[k], *pads[k], dilation[k], shape[k]) for k in range(rank))
    operation = Conv(slides, request.constant(1, "weight") or "", request.constant(2, "bias"), groups)
    return Built(operation, (image,), image.value.dims)


def convolution(request: Request) -> Built:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    rank = request.arg(1).tensor.dim() - 2
    stride, dilation = _each(request.arg(3), rank), _each(request.arg(5), rank)
    if request.arg(6):
        return _transposed(request, stride, _each(request.arg(4), rank), dilation, request.arg(8))
    return _conv(request, stride, [(p, p) for p in _each(request.arg(4), rank)], dilation, request.arg(8))


def conv_transpose(rank: int) -> Builder:
    """aten.conv_transposeN.input(input, weight, bias, stride, padding, output_padding, groups, dilation)."""

    def build(request: Request) -> Built:
        request.constant(1, "weight")
        stride, padding = _each(request.arg(3, 1), rank), _each(request.arg(4, 0), rank)
        return _transposed(request, stride, padding, _each(request.arg(7, 1), rank), request.arg(6, 1))

    return build


def _transposed(request: Request, stride: list[int], padding: list[int], dilation: list[int], groups: int) -> Built:
    image, weight = request.image(), request.arg(1).tensor
    rank = weight.dim() - 2
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes, shape, out = _axes(image, rank), image.value.shape[-rank:], request.shape[-rank:]
    stretches = tuple(
        Stretch(axes[k], weight.shape[2 + k], stride[k], padding[k], dilation[k], shape[k], out[k]) for k in range(rank)
    )
    operation = TransposedConv(stretches, request.constant(1, "weight") or "", request.constant(2, "bias"), groups)
    return Built(operation, (image,), image.value.dims)


def max_pool(rank: int) -> Builder:
    """aten.max_poolN(input, kernel, stride, padding, dilation, ceil_mode)."""

    def build(request: Request) -> Built:
        if request.part == 1:
            raise Unsupported("it uses the positions of the maxima (max unpooling)")
        kernel = _each(request.arg(1), rank)
        stride = _each(request.arg(2) or kernel, rank)
        if barriers.is_whole(request, kernel, _each(request.arg(3, 0), rank)):
            return barriers.bins(request, rank, largest=True)
        slides = _pool_slides(request, kernel, stride, _each(request.arg(3, 0), rank), _each(request.arg(4, 1), rank))
        return Built(MaxPool(slides), (request.image(),), request.image().value.dims)

    return build


def avg_pool(rank: int) -> Builder:
    """aten.avg_poolN(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""

    def build(request: Request) -> Built:
        kernel = _each(request.arg(1), rank)
        stride = _each(request.arg(2) or kernel, rank)
        if barriers.is_whole(request, kernel, _each(request.arg(3, 0), rank)) and request.arg(6) is None:
            return barriers.bins(request, rank, largest=False)
        slides = _pool_slides(request, kernel, stride, _each(request.arg(3, 0), rank), [1] * rank)
        operation = AvgPool(slides, bool(request.arg(5, True)), request.arg(6))
        return Built(operation, (request.image(),), request.image().value.dims)

    return build


def _pool_slides(
    request: Request, kernel: list[int], stride: list[int], pad: list[int], dilation: list[int]
) -> tuple[Slide, ...]:
    image, rank = request.image(), len(kernel)
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes, shape = _all_axes(image, rank, "pools"), image.value.shape[-rank:]
    return tuple(Slide(axes[k], kernel[k], stride[k], pad[k], pad[k], dilation[k], shape[k]) for k in range(rank))


def adaptive_pool(rank: int, kind: str) -> Builder:
    """Adaptive pooling is local where its bins are equal, small and many (mode="area" by a whole factor)."""

    def build(request: Request) -> Built:
        image = request.image()
        sizes, bins = image.value.shape[-rank:], request.shape[-rank:]
        kernel = [n // b for n, b in zip(sizes, bins, strict=True)]
        uneven = any(n % b for n, b in zip(sizes, bins, strict=True))
        if uneven or max(kernel) > LARGEST_BIN or min(bins) <= FEW_BINS or request.part == 1:
            return barriers.bins(request, rank, largest=kind == "max")
        slides = _pool_slides(request, kernel, kernel, [0] * rank, [1] * rank)
        operation = MaxPool(slides) if kind == "max" else AvgPool(slides, True, None)
        return Built(operation, (image,), image.value.dims)

    return build


def pad(request: Request) -> Built:
    """aten.pad(input, pads, mode, value) and aten.constant_pad_nd(input, pads, value); torch lists the last first."""
    image, amounts = request.image(), request.arg(1)
    named = request.target.startswith("aten.pad.")
    mode = request.arg(2, "constant") if named else "constant"
    value = (request.arg(3) if named else request.arg(2)) or 0.0
    rank = len(image.value.shape)
    edges = [(rank - 1 - k, amounts[2 * k]) for k in range(len(amounts) // 2) if amounts[2 * k] or amounts[2 * k + 1]]
    if any(not image.value.dims[d] for d, _ in edges):
        return _channel_pad(request, image, mode, [d for d, _ in edges])
    axes = [(spatial_axis(image.value, d), d, before) for d, before in edges]
    if mode == "constant":
        plain = tuple((a, before, image.value.shape[d]) for a, d, before in axes if a is not None)
        operation = ConstantPad(plain, tuple(rank - d for d, _ in edges), float(value))
        return Built(operation, (image,), image.value.dims)
    return _copy(image, [(d, Bordered(image.value.shape[d], before, mode)) for _, d, before in axes])


def _channel_pad(request: Request, image: ImageArgument, mode: str, dims: list[int]) -> Built:
    if mode != "constant" or any(image.value.dims[d] for d in dims):
        raise Unsupported("it pads channels and positions at once")
    return stored(request, image.value.dims)


def _copy(image: ImageArgument, indices: list[tuple[int, Index]]) -> Built:
    """Copy along the given dimensions, all of which must be spatial."""
    found = []
    for dim, index in indices:
        axis = spatial_axis(image.value, dim)
        assert axis is not None
        found.append((axis, dim, index))
    return Built(Copy(tuple(found)), (image,), image.value.dims)


def slice_(request: Request) -> Built:
    """aten.slice(input, dim, start, end, step)."""
    image = request.image()
    dim = wrap(request.arg(1, 0), len(image.value.shape))
    if not image.value.dims[dim]:
        return stored(request, image.value.dims, is_view=True)
    start, step = request.arg(2) or 0, request.arg(4, 1)
    size = image.value.shape[dim]
    start = min(max(start + size if start < 0 else start, 0), size)
    return _copy(image, [(dim, Strided(size, start, step))])


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
        return stored(request, dims, is_view=True)
    at = request.arg(2)
    size = image.value.shape[dim]
    return Built(Select(axis, dim, at + size if at < 0 else at), (image,), dims)


def flip(request: Request) -> Built:
    image = request.image()
    dims = [wrap(d, len(image.value.shape)) for d in request.arg(1)]
    if all(not image.value.dims[d] for d in dims):
        return stored(request, image.value.dims)
    if any(not image.value.dims[d] for d in dims):
        raise Unsupported("it flips channels and positions at once")
    return _copy(image, [(d, Strided(image.value.shape[d], image.value.shape[d] - 1, -1)) for d in dims])


def roll(request: Request) -> Built:
    image = request.image()
    shifts, dims = _each(request.arg(1), 1), [wrap(d, len(image.value.shape)) for d in request.arg(2, [])]
    if not dims:
        raise Unsupported("it rolls the flattened image")
    if all(not image.value.dims[d] for d in dims):
        return stored(request, image.value.dims)
    if any(not image.value.dims[d] for d in dims):
        raise Unsupported("it rolls channels and positions at once")
    return _copy(image, [(d, Bordered(image.value.shape[d], s, "circular")) for d, s in zip(dims, shifts, strict=True)])


def cat(request: Request) -> Built:
    images = request.arg(0)
    first = next(i for i in images if isinstance(i, ImageArgument))
    dim = wrap(request.arg(1, 0), len(first.value.shape))
    if not first.value.dims[dim]:
        if len({i.value.dims for i in images if isinstance(i, ImageArgument)}) > 1:
            raise Unsupported("it joins tensors whose spatial axes lie differently")
        return stored(request, first.value.dims)
    if not all(isinstance(i, ImageArgument) for i in images):
        raise Unsupported("it joins the image with a constant along a spatial axis")
    axis = spatial_axis(first.value, dim)
    assert axis is not None
    sizes = tuple(i.value.shape[dim] for i in images)
    return Built(SpatialCat(axis, dim, sizes), tuple(images), first.value.dims)


def shuffle(up: bool) -> Builder:
    def build(request: Request) -> Built:
        image = request.image()
        y, x = _all_axes(image, 2, "moves channels")
        kind = PixelShuffle if up else PixelUnshuffle
        return Built(kind((y, x), request.arg(1)), (image,), image.value.dims)

    return build


def upsample(rank: int, mode: str, *, antialias: bool = False) -> Builder:
    """aten.upsample_*.vec(input, output_size, [align_corners,] scale_factors).

    Where scale factors were given, torch computes positions from them, else from the two sizes.
    """

    def build(request: Request) -> Built:
        image = request.image()
        if not any(image.value.dims) and set(image.value.shape[-rank:]) == {1}:
            return expand(request)
        axes = _all_axes(image, rank, "resizes")
        takes_corners = not mode.startswith("nearest")
        corners = bool(request.arg(2, False)) if takes_corners else False
        factors = request.arg(3 if takes_corners else 2)
        sizes, out = image.value.shape[-rank:], request.shape[-rank:]
        first = len(image.value.shape) - rank
        double = image.value.dtype == torch.float64
        whole = [
            _whole_factor(n, o, factors[k] if factors else None)
            for k, (n, o) in enumerate(zip(sizes, out, strict=True))
        ]
        if not antialias and not corners and all(_aligns(mode, w) for w in whole):
            spec = tuple((axes[k], first + k, whole[k] or 1, sizes[k]) for k in range(rank))
            return Built(Enlarge(spec, _torch_mode(mode, rank)), (image,), image.value.dims)
        scales = [_scale(sizes[k], out[k], factors[k] if factors else None, corners, double) for k in range(rank)]
        if mode.startswith("nearest"):
            exact = mode == "nearest-exact"
            return _copy(image, [(first + k, Nearest(sizes[k], scales[k], exact)) for k in range(rank)])
        kind = "cubic" if mode == "cubic" else "linear"
        resizes = [Resize(sizes[k], scales[k], kind, corners, antialias, double) for k in range(rank)]
        return Built(Resample(tuple((axes[k], first + k, resizes[k]) for k in range(rank))), (image,), image.value.dims)

    return build


def _whole_factor(size: int, out: int, factor: float | None) -> int | None:
    whole = out // size
    return whole if whole * size == out and (factor is None or factor == whole) else None


def _aligns(mode: str, factor: int | None) -> bool:
    """Whether torch's kernel on a region gives the very positions it has in the whole image.

    Linear weights are rounded with the global coordinate unless the factor is a power of two.
    """
    if factor is None or mode not in ("nearest", "linear"):
        return False
    return mode == "nearest" or factor & (factor - 1) == 0


def _scale(size: int, out: int, factor: float | None, corners: bool, double: bool) -> float:
    """Input pixels per output pixel, rounded as torch rounds it."""
    dtype = torch.float64 if double else torch.float32
    if corners:
        return float(torch.tensor(size - 1, dtype=dtype) / (out - 1)) if out > 1 else 0.0
    if factor is not None and factor > 0:
        return float(torch.tensor(1.0 / factor, dtype=dtype))
    return float(torch.tensor(size, dtype=dtype) / torch.tensor(out, dtype=dtype))


def _torch_mode(mode: str, rank: int) -> str:
    return "nearest" if mode == "nearest" else {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
