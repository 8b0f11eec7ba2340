"""Neighbourhoods as channels, and back: unfold (im2col), fold (col2im), and sliding windows along one axis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.local import View, stored
from napari_seamless.program.ops.operation import IDENTITY, Centre, LowPrecision, Memory, Operation
from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Request,
    Unsupported,
    all_spatial_axes,
    each,
    spatial_axis,
    wrap,
)
from napari_seamless.program.ops.sliding import OfSlides, Slide, Sliding, padded, paddings
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class Unfold(Sliding):
    """(1, c, y, x) -> (1, c * ky * kx, positions): each position's neighbourhood as channels."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = padded(inputs[0], paddings(self.slides, want))
        return F.unfold(x, self.kernels, self.dilations, 0, self.strides)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have
        return sizes[0] if any(b or a for b, a in paddings(self.slides, want)) else 0


@dataclass(frozen=True)
class Col2im(OfSlides):
    """The reverse: neighbourhoods of the positions that `slides` say are added up where they overlap.

    A slide's `size` is the output's, and `counts` says how many positions there are along it.
    """

    counts: tuple[int, ...]

    def _along(self, axis: int) -> tuple[Slide, int] | None:
        pairs = zip(self.slides, self.counts, strict=True)
        return next(((slide, count) for slide, count in pairs if slide.axis == axis), None)

    @staticmethod
    def _touching(slide: Slide, span: Span) -> Span:
        """The positions whose neighbourhoods reach into a span, whether there are such positions or not."""
        reach = slide.dilation * (slide.kernel - 1)
        return -((reach - span[0] - slide.before) // slide.stride), (span[1] - 1 + slide.before) // slide.stride + 1

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        along = self._along(axis)
        if along is None or span is None:
            return (span,)
        return (clip(self._touching(along[0], span), along[1]),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        along = self._along(axis)
        if along is None or span is None:
            return ()
        (lo, _) = clip(self._touching(along[0], span), along[1])
        return lo * along[0].stride - along[0].before - span[0]

    def centre(self, axis: int) -> Centre:
        along = self._along(axis)
        if along is None:
            return IDENTITY
        scale, offset = along[0].centre
        return 1 / scale, -offset / scale

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        sizes, pads = [], []
        for slide in self.slides:
            assert slide.axis is not None
            held, span = have[0][slide.axis], want[slide.axis]
            assert held is not None
            assert span is not None
            first = held[0] * slide.stride - slide.before
            size = (held[1] - held[0] - 1) * slide.stride + slide.dilation * (slide.kernel - 1) + 1
            sizes.append(size)
            pads.append((first - span[0], span[1] - first - size))
        return padded(F.fold(inputs[0], tuple(sizes), self.kernels, self.dilations, 0, self.strides), pads)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return sizes[0]


@dataclass(frozen=True)
class Windows(Operation):
    """Windows of `size` pixels along one axis, `step` apart: the window's pixels become a new last dimension."""

    axis: int
    dim: int
    size: int
    step: int

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis != self.axis or span is None:
            return (span,)
        return ((span[0] * self.step, (span[1] - 1) * self.step + self.size),)

    def centre(self, axis: int) -> Centre:
        return (Fraction(self.step), Fraction(self.size - 1, 2)) if axis == self.axis else IDENTITY

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return inputs[0].unfold(self.dim, self.size, self.step)


def _slides(axes: Sequence[int], request: Request, sizes: Sequence[int], at: int) -> tuple[Slide, ...]:
    """Of kernel, dilation, padding and stride, which stand among the arguments from `at` on."""
    kernel, dilation, pad, stride = (each(request.arg(at + k), 2) for k in range(4))
    return tuple(Slide(axes[k], kernel[k], stride[k], pad[k], pad[k], dilation[k], sizes[k]) for k in range(2))


def unfold(request: Request) -> Built:
    """aten.im2col(input, kernel, dilation, padding, stride)."""
    image = request.image()
    if len(image.value.shape) != 4:
        raise Unsupported("it is given no batch dimension")
    axes, shape = all_spatial_axes(image, 2, "unfolds"), image.value.shape[-2:]
    slides = _slides(axes, request, shape, 1)
    counts = [_count(slide) for slide in slides]
    domain = list(image.value.domain)
    for axis, count in zip(axes, counts, strict=True):
        domain[axis] = count
    return Built(Unfold(slides), (image,), (*image.value.dims[:2], tuple(axes)), tuple(domain))


def _count(slide: Slide) -> int:
    reach = slide.size + slide.before + slide.after - slide.dilation * (slide.kernel - 1)
    return (reach - 1) // slide.stride + 1


def fold(request: Request) -> Built:
    """aten.col2im(input, output size, kernel, dilation, padding, stride)."""
    image, size = request.image(), each(request.arg(1), 2)
    dims = image.value.dims
    if len(dims) != 3 or any(dims[:2]) or len(dims[2]) != 2:
        raise Unsupported("it folds neighbourhoods whose positions are not known")
    axes = dims[2]
    slides = _slides(axes, request, size, 2)
    counts = tuple(_count(slide) for slide in slides)
    if counts != tuple(image.value.domain[axis] for axis in axes):
        raise Unsupported("it folds neighbourhoods whose positions are not known")
    return Built(Col2im(slides, counts), (image,), (*dims[:2], (axes[0],), (axes[1],)))


def windows(request: Request) -> Built:
    """aten.unfold(input, dim, size, step)."""
    image, size, step = request.image(), request.arg(2), request.arg(3)
    dim = wrap(request.arg(1), len(image.value.shape))
    axis = spatial_axis(image.value, dim)
    dims = (*image.value.dims, ())
    if axis is None:
        return stored(request, dims, View)
    return Built(Windows(axis, dim, size, step), (image,), dims)


OPERATORS: Operators = {
    "aten.im2col.default": Operator(unfold),
    "aten.col2im.default": Operator(fold),
    "aten.unfold.default": Operator(windows),
}
