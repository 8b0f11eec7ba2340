"""Max and average pooling in 1, 2 and 3 dimensions, with ceil_mode and every way of counting padding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.bins import binned
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Operation,
)
from napari_seamless.program.ops.places import globally
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    Operator,
    Operators,
    Request,
    Unsupported,
    each,
    spatial_axes,
)
from napari_seamless.program.ops.sliding import Slide, Sliding, padded, paddings
from napari_seamless.program.spans import Box, Span

MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
LARGEST_BIN = 64
FEW_BINS = 8
"""Adaptive pooling is local with more than FEW_BINS bins of at most LARGEST_BIN pixels a side, else a barrier."""


@dataclass(frozen=True)
class Pool(Sliding):
    """What max and average pooling share: padding is always put in by hand."""

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have
        return sizes[0] if any(b or a for b, a in paddings(self.slides, want)) else 0


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a sliding kernel; padding never wins. `itemsize` is the bytes of a number, for the prediction."""

    itemsize: int = 4

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def in_dtype(self, dtype: torch.dtype, name_of: Callable[[str], str]) -> Operation:
        del name_of
        return replace(self, itemsize=dtype.itemsize)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = self._padded(inputs[0], want)
        return MAXIMA[len(self.slides)](x, self.kernels, self.strides, 0, self.dilations)

    def _padded(self, x: Tensor, want: Box) -> Tensor:
        lowest = -torch.inf if x.is_floating_point() else torch.iinfo(x.dtype).min
        return padded(x, paddings(self.slides, want), lowest)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """torch keeps the position (int64) of every maximum while it runs."""
        pixels = prod(span[1] - span[0] for span in want if span is not None)
        source = prod(span[1] - span[0] for span in have[0] if span is not None)
        return super().workspace(have, want, sizes) + sizes[0] * 8 // self.itemsize * pixels // source


@dataclass(frozen=True)
class MaxPlaces(MaxPool):
    """Where in the whole plane, counted in row-major order, the maximum of each output's kernel lies. int64."""

    @property
    def low_precision(self) -> LowPrecision:
        return "reads"

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = self._padded(inputs[0], want)
        find = MAXIMA[len(self.slides)]
        _, local = find(x, self.kernels, self.strides, 0, self.dilations, return_indices=True)
        return globally(local, [(self._held(slide, want), slide.size) for slide in self.slides])

    def _held(self, slide: Slide, want: Box) -> Span:
        """The positions that the padded input has along one axis."""
        span = want[slide.axis] if slide.axis is not None else None
        return slide.reach(span) if span is not None else (-slide.before, slide.size + slide.after)


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over a sliding kernel. `counts_padding` and `divisor` are torch's count_include_pad and divisor_override."""

    counts_padding: bool
    divisor: int | None

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = padded(inputs[0], paddings(self.slides, want))
        if self.divisor is not None or not any(self._uneven(s, want) for s in self.slides):
            return self._mean(x, self.divisor)
        total = self._mean(x, 1)
        for k, slide in enumerate(self.slides):
            counts = self._counts(slide, want, total.shape[k - len(self.slides)])
            total = total / torch.tensor(counts, dtype=x.dtype, device=x.device).view(
                -1, *(1,) * (len(self.slides) - 1 - k)
            )
        return total

    def _mean(self, x: Tensor, divisor: int | None) -> Tensor:
        if len(self.slides) == 1:
            return F.avg_pool2d(
                x.unsqueeze(-2), (1, *self.kernels), (1, *self.strides), divisor_override=divisor
            ).squeeze(-2)
        pool = F.avg_pool2d if len(self.slides) == 2 else F.avg_pool3d
        return pool(x, self.kernels, self.strides, divisor_override=divisor)

    def _uneven(self, slide: Slide, want: Box) -> bool:
        return any(n != slide.kernel for n in self._counts(slide, want, None))

    def _counts(self, slide: Slide, want: Box, length: int | None) -> list[int]:
        """How many positions each output's mean is taken over. Without `length` only the first and last matter."""
        span = want[slide.axis] if slide.axis is not None else None
        if span is None:
            reach = slide.size + slide.before + slide.after - slide.kernel
            span = (0, reach // slide.stride + 1)
        outputs = range(*span) if length is not None else (span[0], span[1] - 1)
        return [self._count(slide, o) for o in outputs]

    def _count(self, slide: Slide, output: int) -> int:
        lo = output * slide.stride - slide.before
        hi = lo + slide.kernel
        if self.counts_padding:
            return min(hi, slide.size + slide.before) - lo
        return min(hi, slide.size) - max(lo, 0)


def max_pool(rank: int) -> Builder:
    """aten.max_poolN(input, kernel, stride, padding, dilation, ceil_mode)."""

    def build(request: Request) -> Built:
        kernel = each(request.arg(1), rank)
        stride = each(request.arg(2) or kernel, rank)
        pad, is_place = each(request.arg(3, 0), rank), request.part == 1
        if not is_place and _is_whole(request, kernel, pad):
            return binned(request, rank, largest=True)
        slides = _pool_slides(request, kernel, stride, pad, each(request.arg(4, 1), rank))
        operation = MaxPlaces(slides) if is_place else MaxPool(slides)
        return Built(operation, (request.image(),), request.image().value.dims)

    return build


def avg_pool(rank: int) -> Builder:
    """aten.avg_poolN(input, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override)."""

    def build(request: Request) -> Built:
        kernel = each(request.arg(1), rank)
        stride = each(request.arg(2) or kernel, rank)
        if _is_whole(request, kernel, each(request.arg(3, 0), rank)) and request.arg(6) is None:
            return binned(request, rank, largest=False)
        slides = _pool_slides(request, kernel, stride, each(request.arg(3, 0), rank), [1] * rank)
        operation = AvgPool(slides, bool(request.arg(5, True)), request.arg(6))
        return Built(operation, (request.image(),), request.image().value.dims)

    return build


def _pool_slides(
    request: Request, kernel: list[int], stride: list[int], pad: list[int], dilation: list[int]
) -> tuple[Slide, ...]:
    image, rank = request.image(), len(kernel)
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes, shape = spatial_axes(image, rank), image.value.shape[-rank:]
    return tuple(Slide(axes[k], kernel[k], stride[k], pad[k], pad[k], dilation[k], shape[k]) for k in range(rank))


def adaptive_pool(rank: int, kind: str) -> Builder:
    """Adaptive pooling is local where its bins are equal, small and many (mode="area" by a whole factor)."""

    def build(request: Request) -> Built:
        image = request.image()
        sizes, bins = image.value.shape[-rank:], request.shape[-rank:]
        kernel = [n // b for n, b in zip(sizes, bins, strict=True)]
        uneven = any(n % b for n, b in zip(sizes, bins, strict=True))
        if uneven or max(kernel) > LARGEST_BIN or min(bins) <= FEW_BINS or request.part == 1:
            return binned(request, rank, largest=kind == "max")
        slides = _pool_slides(request, kernel, kernel, [0] * rank, [1] * rank)
        operation = MaxPool(slides) if kind == "max" else AvgPool(slides, True, None)
        return Built(operation, (image,), image.value.dims)

    return build


def _is_whole(request: Request, kernel: list[int], padding: list[int]) -> bool:
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


OPERATORS: Operators = {
    **{f"aten.max_pool{n}d.default": Operator(max_pool(n)) for n in (1, 2, 3)},
    **{f"aten.max_pool{n}d_with_indices.default": Operator(max_pool(n)) for n in (2, 3)},
    **{f"aten.avg_pool{n}d.default": Operator(avg_pool(n)) for n in (1, 2, 3)},
    **{f"aten.adaptive_avg_pool{n}d.default": Operator(adaptive_pool(n, "avg")) for n in (1, 2, 3)},
    **{f"aten._adaptive_avg_pool{n}d.default": Operator(adaptive_pool(n, "avg")) for n in (2, 3)},
    **{f"aten.adaptive_max_pool{n}d.default": Operator(adaptive_pool(n, "max")) for n in (1, 2, 3)},
}
