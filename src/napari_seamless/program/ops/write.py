"""Writing into a part of a tensor: a slice, one position, what a mask or a list of channels says.

torch traces `y[:, :, 2:4] = v` as a copy of y with a slice replaced. Where the slice lies along a spatial axis, its
true position counts, so that a tile far from it gets none of it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.constant_image import ConstantImage
from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.operation import LowPrecision, Operation
from napari_seamless.program.ops.pointwise import Pointwise, broadcast_dims, copy_of, pointwise
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Operator,
    Operators,
    Pending,
    Request,
    Unsupported,
    wrap,
)
from napari_seamless.program.spans import Box, Dims, Span, clip
from napari_seamless.program.value import Value

Part = ImageArgument | Pending


@dataclass(frozen=True)
class ChannelWrite(Local):
    """A stored call that writes channels."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"


@dataclass(frozen=True)
class StretchedCopy(Local):
    """aten.copy, of which torch has no derivative: the second argument in shape and dtype of the first."""

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        return self.call(_stretched, inputs, constants, want)


@dataclass(frozen=True)
class SpatialWrite(Operation):
    """The first input with the second in the place of positions start, start + step, ... along one spatial axis.

    `count` is how many there are. With `selects` it is one, and the second input lacks the axis.
    """

    axis: int
    dim: int
    start: int
    step: int
    count: int
    selects: bool = False

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    @property
    def can_overwrite(self) -> bool:
        return True

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if axis != self.axis or span is None:
            return (span, span)
        return (span, None if self.selects else clip(self._written(span), self.count))

    def _written(self, span: Span) -> Span:
        """Which of the second input's positions lie in a span; perhaps none."""
        lo = max(-((self.start - span[0]) // self.step), 0)
        return lo, max(min((span[1] - 1 - self.start) // self.step + 1, self.count), lo)

    def border(self, axis: int, span: Span | None) -> Hashable:
        if axis != self.axis or span is None:
            return ()
        lo, hi = self._written(span)
        return (hi - lo, lo * self.step + self.start - span[0]) if hi > lo else ()

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        return self.overwrite([inputs[0].clone(), inputs[1]], constants, want)

    def overwrite(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Tensor:
        del constants
        out, span = inputs[0], want[self.axis]
        assert span is not None
        lo, hi = self._written(span)
        if hi > lo:
            first = self.start + lo * self.step - span[0]
            place = out.narrow(self.dim, first, (hi - lo - 1) * self.step + 1)
            part = inputs[1].unsqueeze(self.dim) if self.selects else inputs[1]
            place[(slice(None),) * self.dim + (slice(None, None, self.step),)] = part
        return out


def write_slice(request: Request) -> Built:
    """aten.slice_scatter(input, part, dim, start, end, step)."""
    dim = wrap(request.kwargs.get("dim", request.arg(2, 0)), len(request.shape))
    dims = _dims(request, None)
    if not dims[dim]:
        return _in_channels(request, dims)
    size, step = request.shape[dim], request.kwargs.get("step", request.arg(5, 1))
    start = request.kwargs.get("start", request.arg(3)) or 0
    start = min(max(start + size if start < 0 else start, 0), size)
    end = request.kwargs.get("end", request.arg(4))
    end = size if end is None else end
    end = min(max(end + size if end < 0 else end, start), size)
    return _spatial(request, dims, dim, (start, step, -(-(end - start) // step)), selects=False)


def write_selected(request: Request) -> Built:
    """aten.select_scatter(input, part, dim, index)."""
    dim = wrap(request.arg(2), len(request.shape))
    dims = _dims(request, dim)
    if not dims[dim]:
        return _in_channels(request, dims)
    at = request.arg(3)
    return _spatial(request, dims, dim, (at + request.shape[dim] if at < 0 else at, 1, 1), selects=True)


def _dims(request: Request, selected: int | None) -> Dims:
    """The result's dimensions: those of the input, or where that is a constant, of what is written into it."""
    base, part = request.arg(0), request.arg(1)
    if isinstance(base, ImageArgument):
        return base.value.dims
    assert isinstance(part, ImageArgument)
    found = list(part.value.dims)
    if selected is not None:
        used = {axis for axes in found for axis in axes}
        missing = [(axis,) for axis in range(request.ndim) if axis not in used]
        found.insert(selected, missing[0] if missing else ())
    return tuple(found)


def _spatial(request: Request, dims: Dims, dim: int, place: tuple[int, int, int], *, selects: bool) -> Built:
    if len(dims[dim]) > 1:
        raise Unsupported("it writes along a dimension into which several spatial axes were flattened")
    gone = (dim,) if selects else ()
    part_dims = tuple(axes for d, axes in enumerate(dims) if d not in gone)
    start, step, count = place
    if not count and isinstance(request.arg(0), ImageArgument):
        return copy_of(request.arg(0), request)
    if not count:
        raise Unsupported("it writes into no position of a constant")
    base = _image(request.arg(0), request, dims)
    sizes = tuple(count if d == dim else n for d, n in enumerate(request.shape) if d not in gone)
    part = _image(request.arg(1), replace(request, shape=sizes), part_dims)
    return Built(SpatialWrite(dims[dim][0], dim, start, step, count, selects), (base, part), dims)


def _image(given: Any, request: Request, dims: Dims) -> Part:
    """An argument with the positions of `dims`; a constant gets them, and has to be of the request's shape."""
    shape = request.shape
    if isinstance(given, ImageArgument):
        if given.value.dims != dims or given.value.shape != shape:
            raise Unsupported("it writes what lies on other positions")
        return given
    assert isinstance(given, Constant)
    if tuple(given.tensor.shape) != shape or any(len(axes) > 1 for axes in dims):
        raise Unsupported("it writes a constant of another shape")
    sizes: list[int | None] = [None] * request.ndim
    for n, axes in zip(shape, dims, strict=True):
        for axis in axes:
            sizes[axis] = n
    built = Built(ConstantImage(given.name, dims, tuple(sizes)), (), dims)
    return Pending(built, shape, given.tensor.dtype)


def _in_channels(request: Request, dims: Dims) -> Built:
    """Writing channels at every position."""
    base, part = request.arg(0), request.arg(1)
    gone = len(request.shape) - len(part.value.shape if isinstance(part, ImageArgument) else part.tensor.shape)
    if isinstance(base, ImageArgument) and isinstance(part, ImageArgument):
        left = [axes for axes in part.value.dims if axes]
        if left != [axes for axes in dims if axes] or (not gone and part.value.dims != dims):
            raise Unsupported("it writes what lies on other positions")
        return stored(request, dims, ChannelWrite)
    if isinstance(base, ImageArgument):
        raise Unsupported("it writes a constant as large as the image")
    made = _image(base, request, dims)
    assert isinstance(made, Pending)
    stands = ImageArgument(-1, _value(made, request.ndim))
    built = stored(replace(request, args=(stands, *request.args[1:])), dims, ChannelWrite)
    return replace(built, inputs=tuple(made if i is stands else i for i in built.inputs))


def _value(made: Pending, ndim: int) -> Value:
    return Value(made.shape, made.dtype, made.built.dims, made.built.domain(made.shape, ndim))


def copy(request: Request) -> Built:
    """aten.copy(input, source): the source, stretched to the input's shape and in its dtype."""
    built = pointwise(replace(request, args=request.args[:2], kwargs={}))
    called = built.operation
    assert isinstance(called, Local)
    operation = StretchedCopy(called.target, called.args, called.kwargs, called.domains, called.domain)
    return replace(built, operation=operation)


def _stretched(like: Tensor, source: Tensor) -> Tensor:
    return source.expand(like.shape).to(like.dtype, copy=True)


def put(request: Request) -> Built:
    """aten.index_put(input, indices, values, accumulate), by a mask, or by a constant list of channels."""
    image, index, values = request.image(), request.arg(1), request.arg(2)
    used = [d for d, i in enumerate(index) if i is not None]
    if len(used) != 1:
        raise Unsupported("it writes pixels by tables of positions")
    chosen = index[used[0]]
    tensor = chosen.tensor if isinstance(chosen, Constant) else None
    dtype = chosen.value.dtype if isinstance(chosen, ImageArgument) else tensor.dtype if tensor is not None else None
    if dtype == torch.bool and not request.arg(3, False):
        return _masked(request, image, chosen, values)
    if tensor is None:
        raise Unsupported("it writes where the image itself says")
    if tensor.dim() != 1 or image.value.dims[used[0]]:
        raise Unsupported("it writes pixels by tables of positions")
    if isinstance(values, ImageArgument) and values.value.dims != image.value.dims:
        raise Unsupported("it writes what lies on other positions")
    if isinstance(values, Constant) and values.tensor.numel() > 1:
        _require_channels(values.tensor, image.value.dims)
    return stored(request, image.value.dims, ChannelWrite)


def _require_channels(values: Tensor, dims: Dims) -> None:
    last = dims[len(dims) - values.dim() :] if values.dim() else ()
    if any(axes and n > 1 for axes, n in zip(last, values.shape, strict=True)):
        raise Unsupported("it writes a constant as large as the image")


def _masked(request: Request, image: ImageArgument, mask: Any, values: Any) -> Built:
    """y[mask] = v for a single number v."""
    number = values.tensor if isinstance(values, Constant) else None
    if number is None or number.numel() != 1:
        raise Unsupported("it writes as many numbers as a mask has positions")
    if not isinstance(mask, ImageArgument) or request.arg(1)[0] is not mask:
        raise Unsupported("its mask is a constant, or leaves out the first dimension")
    if len(mask.value.shape) != len(image.value.shape):
        raise Unsupported("its mask has fewer dimensions than what it masks; use masked_fill or where")
    if number.dim():
        raise Unsupported("it writes a list of one number; write the number itself")
    plain = replace(request, target="aten.masked_fill.Tensor", args=(image, mask, values), kwargs={})
    return stored(plain, image.value.dims, Pointwise)


def fill(request: Request) -> Built:
    """aten.fill.Tensor(input, number): every position the same number, itself perhaps computed."""
    return pointwise(request)


OPERATORS: Operators = {
    "aten.slice_scatter.default": Operator(write_slice),
    "aten.select_scatter.default": Operator(write_selected),
    "aten.copy.default": Operator(copy, constant_dims=broadcast_dims, broadcasts=True),
    "aten.fill.Tensor": Operator(fill),
    "aten.index_put.default": Operator(put),
}
