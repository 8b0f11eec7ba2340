"""Tensors side by side: along channels, along a new dimension, or along a spatial axis."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Operation,
)
from napari_seamless.program.ops.request import (
    Built,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
    spatial_axis,
    wrap,
)
from napari_seamless.program.spans import Box, Dims, Span, clip


@dataclass(frozen=True)
class SpatialCat(Operation):
    """Inputs one after the other along a spatial axis. `sizes` are their true sizes along it."""

    axis: int
    dim: int
    sizes: tuple[int, ...]

    def _starts(self) -> list[int]:
        return [sum(self.sizes[:k]) for k in range(len(self.sizes))]

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis != self.axis or span is None:
            return (span,) * len(self.sizes)
        return tuple(
            clip((span[0] - start, span[1] - start), size)
            for start, size in zip(self._starts(), self.sizes, strict=True)
        )

    def border(self, axis: int, span: Span | None) -> Hashable:
        if axis != self.axis or span is None:
            return ()
        return tuple(self._shared(span, k) for k in range(len(self.sizes)))

    def _shared(self, span: Span, k: int) -> int:
        """How many pixels of input k are in the region."""
        start = self._starts()[k]
        return max(min(span[1] - start, self.sizes[k]) - max(span[0] - start, 0), 0)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        span = want[self.axis]
        assert span is not None
        return torch.cat([x for k, x in enumerate(inputs) if self._shared(span, k)], self.dim)


@dataclass(frozen=True)
class ChannelCat(Local):
    """A stored call that joins along channels, or along a new dimension."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"


def cat(request: Request) -> Built:
    images = request.arg(0)
    first = next(i for i in images if isinstance(i, ImageArgument))
    dim = wrap(request.arg(1, 0), len(first.value.shape))
    if not first.value.dims[dim]:
        if len({i.value.dims for i in images if isinstance(i, ImageArgument)}) > 1:
            raise Unsupported("it joins tensors whose spatial axes lie differently")
        return stored(request, first.value.dims, ChannelCat)
    if not all(isinstance(i, ImageArgument) for i in images):
        raise Unsupported("it joins the image with a constant along a spatial axis")
    axis = spatial_axis(first.value, dim)
    assert axis is not None
    sizes = tuple(i.value.shape[dim] for i in images)
    return Built(SpatialCat(axis, dim, sizes), tuple(images), first.value.dims)


def stack(request: Request) -> Built:
    images = request.arg(0)
    if not all(isinstance(i, ImageArgument) for i in images):
        raise Unsupported("it stacks the image with a constant")
    dims = list(images[0].value.dims)
    dims.insert(wrap(request.arg(1, 0), len(dims) + 1), ())
    return stored(request, tuple(dims), ChannelCat)


def _first_dims(request: Request) -> Dims:
    return request.images[0].value.dims


OPERATORS: Operators = {
    "aten.cat.default": Operator(cat, constant_dims=_first_dims),
    "aten.stack.default": Operator(stack, constant_dims=_first_dims),
}
