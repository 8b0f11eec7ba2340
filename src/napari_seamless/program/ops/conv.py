"""Convolution in 1, 2 and 3 dimensions: stride, dilation, groups, any padding.

Inside the image a convolution runs without padding at all on the pixels it reaches; padding appears only in the tiles
that touch the true border."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import (
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
from napari_seamless.program.ops.sliding import Slide, Sliding, padded, paddings
from napari_seamless.program.spans import Box

CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@dataclass(frozen=True)
class Conv(Sliding):
    """Convolution of (n, c, ...) by a constant weight (out, c / groups, ...) and bias (out,)."""

    weight: str
    bias: str | None
    groups: int

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    @property
    def copies_parts(self) -> bool:
        return True

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
        made = affine_constants(self, scale.view(-1, *(1,) * (weight.dim() - 1)), scale, shift, constants, suffix)
        return replace(self, weight=self.weight + suffix, bias=f"{self.weight}{suffix}.bias"), made

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        x, pads, skip, keep = framed(inputs[0], self.slides, want)
        result = self.convolve(x, pads, constants)
        return result if keep is None else result.narrow(2, skip, keep)

    def convolve(self, x: Tensor, pads: Sequence[int], constants: Mapping[str, Tensor]) -> Tensor:
        """The convolution itself, with the same padding on both sides of a dimension."""
        bias = constants[self.bias] if self.bias is not None else None
        kernel = CONVOLUTIONS[len(self.slides)]
        return kernel(x, constants[self.weight], bias, self.strides, pads, self.dilations, self.groups)

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        return prod(out) * (shapes[0][1] // self.groups) * prod(s.kernel for s in self.slides)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have
        pads = paddings(self.slides, want)
        return sizes[0] if any(before != after for before, after in pads[1:]) else 0


def framed(x: Tensor, slides: Sequence[Slide], want: Box) -> tuple[Tensor, list[int], int, int | None]:
    """Input, symmetric padding, and which rows of the result to keep: (x, pads, rows to skip, rows to keep or None).

    torch's convolutions pad both sides alike, but a tile at one border needs padding on one side. Along the outermost
    dimension both sides are padded and the surplus rows of the result are left out, which costs no copy; along the
    others the padding is put in by hand.
    """
    pads = paddings(slides, want)
    (before, after), slide = pads[0], slides[0]
    span = want[slide.axis] if slide.axis is not None else None
    both = max(before, after)
    surplus = both - before
    is_framed = before != after and span is not None and surplus % slide.stride == 0 and min(before, after) >= 0
    by_hand = [(0, 0) if (is_framed and k == 0) or b == a >= 0 else (b, a) for k, (b, a) in enumerate(pads)]
    symmetric = [both if is_framed and k == 0 else b if b == a >= 0 else 0 for k, (b, a) in enumerate(pads)]
    x = padded(x, by_hand)
    if not is_framed or span is None:
        return x, symmetric, 0, None
    return x, symmetric, surplus // slide.stride, span[1] - span[0]


def affine_constants(
    conv: Any, factors: Tensor, scale: Tensor, shift: Tensor, constants: Mapping[str, Tensor], suffix: str
) -> dict[str, Tensor]:
    """Weight and bias of a convolution whose output channels are scaled and shifted; `factors` are broadcast against
    the weight. In float64, so that this adds no rounding of its own."""
    weight, bias = constants[conv.weight], constants[conv.bias] if conv.bias is not None else None
    return {
        conv.weight + suffix: (weight.double() * factors).to(weight.dtype),
        f"{conv.weight}{suffix}.bias": (shift if bias is None else bias.double() * scale + shift).to(weight.dtype),
    }


def conv(rank: int) -> Builder:
    """aten.convN(input, weight, bias, stride, padding, dilation, groups); padding may be "same" or "valid"."""

    def build(request: Request) -> Built:
        stride, dilation = each(request.arg(3, 1), rank), each(request.arg(5, 1), rank)
        weight = request.arg(1)
        request.constant(1, "weight")
        pads = _conv_pads(request.arg(4, 0), weight.tensor.shape[2:], dilation)
        return conv_of(request, stride, pads, dilation, request.arg(6, 1))

    return build


def _conv_pads(given: Any, kernel: Sequence[int], dilation: Sequence[int]) -> list[tuple[int, int]]:
    if given == "valid":
        return [(0, 0)] * len(kernel)
    if given == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return [(t // 2, t - t // 2) for t in totals]
    return [(p, p) for p in each(given, len(kernel))]


def conv_of(
    request: Request, stride: list[int], pads: list[tuple[int, int]], dilation: list[int], groups: int
) -> Built:
    """A convolution of the request's image by its argument 1, with bias 2; `pads` are (before, after)."""
    image, weight = request.image(), request.arg(1).tensor
    rank = weight.dim() - 2
    if len(image.value.shape) != rank + 2:
        raise Unsupported("it is given no batch dimension")
    axes = spatial_axes(image, rank)
    shape = image.value.shape[-rank:]
    slides = tuple(Slide(axes[k], weight.shape[2 + k], stride[k], *pads[k], dilation[k], shape[k]) for k in range(rank))
    operation = Conv(slides, request.constant(1, "weight") or "", request.constant(2, "bias"), groups)
    return Built(operation, (image,), image.value.dims)


OPERATORS: Operators = {
    **{f"aten.conv{n}d.default": Operator(conv(n)) for n in (1, 2, 3)},
    **{f"aten.conv{n}d.padding": Operator(conv(n)) for n in (1, 2, 3)},
}
