"""Transposed convolution in 1, 2 and 3 dimensions.

It is a convolution read backwards: input i reaches outputs i * s - p + d * k', so it runs unpadded on the inputs that
reach the wanted outputs, and the surplus is cut off."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.conv import affine_constants, conv_of
from napari_seamless.program.ops.operation import (
    IDENTITY,
    Centre,
    LowPrecision,
    Operation,
)
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
from napari_seamless.program.ops.sliding import padded
from napari_seamless.program.spans import Box, Span

TRANSPOSED = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@dataclass(frozen=True)
class Stretch:
    """One dimension of a transposed convolution: input `size` pixels, output `out` pixels."""

    axis: int | None
    kernel: int
    stride: int
    padding: int
    dilation: int
    size: int
    out: int

    def demand(self, span: Span) -> Span:
        """The inputs that reach outputs `span`; at least one, even where none does."""
        lo = -((self.dilation * (self.kernel - 1) - span[0] - self.padding) // self.stride)
        hi = (span[1] - 1 + self.padding) // self.stride + 1
        lo = min(max(lo, 0), self.size - 1)
        return lo, max(min(hi, self.size), lo + 1)

    def cover(self, span: Span) -> Span:
        """The outputs that inputs `span` reach."""
        lo = span[0] * self.stride - self.padding
        return lo, (span[1] - 1) * self.stride - self.padding + self.dilation * (self.kernel - 1) + 1

    @property
    def centre(self) -> Centre:
        return Fraction(1, self.stride), (self.padding - Fraction(self.dilation * (self.kernel - 1), 2)) / self.stride


@dataclass(frozen=True)
class TransposedConv(Operation):
    """Transposed convolution of (n, c, ...) by a constant weight (c, out / groups, ...)."""

    stretches: tuple[Stretch, ...]
    weight: str
    bias: str | None
    groups: int

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def low_precision(self) -> LowPrecision:
        return "product"

    def in_dtype(self, dtype: torch.dtype, name_of: Callable[[str], str]) -> Operation:
        del dtype
        return replace(self, weight=name_of(self.weight), bias=None if self.bias is None else name_of(self.bias))

    def then_affine(
        self, scale: Tensor, shift: Tensor, constants: Mapping[str, Tensor], suffix: str
    ) -> tuple[Operation, dict[str, Tensor]]:
        weight = constants[self.weight]
        made = affine_constants(self, self._factors(scale, weight), scale, shift, constants, suffix)
        return replace(self, weight=self.weight + suffix, bias=f"{self.weight}{suffix}.bias"), made

    def _factors(self, scale: Tensor, weight: Tensor) -> Tensor:
        """One number an output channel, as it is broadcast against the weight, (in, out / groups, ...)."""
        grouped = scale.view(self.groups, 1, -1).expand(-1, weight.shape[0] // self.groups, -1)
        return grouped.reshape(weight.shape[0], -1, *(1,) * (weight.dim() - 2))

    def _along(self, axis: int) -> Stretch | None:
        return next((s for s in self.stretches if s.axis == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        stretch = self._along(axis)
        return (stretch.demand(span) if stretch is not None and span is not None else span,)

    def border(self, axis: int, span: Span | None) -> Hashable:
        stretch = self._along(axis)
        if stretch is None or span is None:
            return ()
        lo, hi = stretch.cover(stretch.demand(span))
        return span[0] - lo, hi - span[1]

    def centre(self, axis: int) -> Centre:
        stretch = self._along(axis)
        return stretch.centre if stretch is not None else IDENTITY

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        strides = tuple(s.stride for s in self.stretches)
        dilations = tuple(s.dilation for s in self.stretches)
        crops = [self._crop(s, want) for s in self.stretches]
        uncovered = any(before < 0 or after < 0 for before, after in crops)
        bias = constants[self.bias] if self.bias is not None else None
        full = TRANSPOSED[len(self.stretches)](
            inputs[0],
            constants[self.weight],
            None if uncovered else bias,
            stride=strides,
            groups=self.groups,
            dilation=dilations,
        )
        if not uncovered:
            return cropped(full, crops)
        result = padded(full, [(-before, -after) for before, after in crops])
        return result if bias is None else result + bias.view(-1, *(1,) * len(crops))

    def _crop(self, stretch: Stretch, want: Box) -> tuple[int, int]:
        """Surplus outputs (before, after); negative where outputs are wanted that no input reaches."""
        span = want[stretch.axis] if stretch.axis is not None else None
        if span is None:
            span = (0, stretch.out)
        lo, hi = stretch.cover(stretch.demand(span))
        return span[0] - lo, hi - span[1]

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        return prod(shapes[0]) * (out[1] // self.groups) * prod(s.kernel for s in self.stretches)


def cropped(x: Tensor, crops: Sequence[tuple[int, int]]) -> Tensor:
    """Cut (before, after) from the last len(crops) dimensions."""
    first = x.dim() - len(crops)
    for k, (before, after) in enumerate(crops):
        if before or after:
            x = x.narrow(first + k, before, x.shape[first + k] - before - after)
    return x


def convolution(request: Request) -> Built:
    """aten.convolution(input, weight, bias, stride, padding, dilation, transposed, output_padding, groups)."""
    rank = request.arg(1).tensor.dim() - 2
    stride, dilation = each(request.arg(3), rank), each(request.arg(5), rank)
    if request.arg(6):
        return _transposed(request, stride, each(request.arg(4), rank), dilation, request.arg(8))
    return conv_of(request, stride, [(p, p) for p in each(request.arg(4), rank)], dilation, request.arg(8))


def conv_transpose(rank: int) -> Builder:
    """aten.conv_transposeN.input(input, weight, bias, stride, padding, output_padding, groups, dilation)."""

    def build(request: Request) -> Built:
        request.constant(1, "weight")
        stride, padding = each(request.arg(3, 1), rank), each(request.arg(4, 0), rank)
        return _transposed(request, stride, padding, each(request.arg(7, 1), rank), request.arg(6, 1))

    return build


def _transposed(request: Request, stride: list[int], padding: list[int], dilation: list[int], groups: int) -> Built:
    image, weight = request.image(), request.arg(1).tensor
    rank = weight.dim() - 2
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes, shape, out = spatial_axes(image, rank), image.value.shape[-rank:], request.shape[-rank:]
    stretches = tuple(
        Stretch(axes[k], weight.shape[2 + k], stride[k], padding[k], dilation[k], shape[k], out[k]) for k in range(rank)
    )
    operation = TransposedConv(stretches, request.constant(1, "weight") or "", request.constant(2, "bias"), groups)
    return Built(operation, (image,), image.value.dims)


OPERATORS: Operators = {
    "aten.convolution.default": Operator(convolution),
    "aten.conv_transpose1d.default": Operator(conv_transpose(1)),
    "aten.conv_transpose2d.input": Operator(conv_transpose(2)),
    "aten.conv_transpose3d.input": Operator(conv_transpose(3)),
}
