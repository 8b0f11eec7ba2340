"""Normalisation by the mean and variance of the whole plane: instance, group, layer and batch norm.

A barrier measures scale and shift of each channel, and what follows is done pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Constants, State, small
from napari_seamless.program.ops.local import Domain, Local, stored
from napari_seamless.program.ops.moments import MomentsBarrier, pooled
from napari_seamless.program.ops.operation import (
    LowPrecision,
    Operation,
)
from napari_seamless.program.ops.request import (
    Built,
    ImageArgument,
    Operator,
    Operators,
    Pending,
    Request,
    Unsupported,
    require_channels,
)
from napari_seamless.program.ops.whole_axis import along_whole_axis
from napari_seamless.program.spans import Box, Dims, Span


@dataclass(frozen=True)
class ScaleShift(MomentsBarrier):
    """What a normalisation over the plane does to each channel: (3, c) of centre, scale and shift.

    The centre is subtracted first: where the plane hardly varies, x * scale and its counterpart would be large and
    cancel. It is rounded to the value's dtype, and the shift makes up for that.

    Channels are normalised in `groups` of equal size, with `eps` added to the (biased) variance; `weight` and `bias`
    name constants of one number a channel.
    """

    groups: int = 1
    eps: float = 1e-5
    weight: str | None = None
    bias: str | None = None

    @property
    def constant_names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.weight, self.bias) if name is not None)

    def value(self, state: State, constants: Constants) -> Tensor:
        count, mean, m2 = state
        grouped = count, mean.reshape(self.groups, -1), m2.reshape(self.groups, -1)
        number, centre, spread = pooled(grouped, (1,))
        scale = (spread / number + self.eps).rsqrt().expand_as(grouped[1]).reshape(-1)
        if self.weight is not None:
            scale = scale * self._each(constants[self.weight], scale)
        exact = centre.expand_as(grouped[1]).reshape(-1)
        rounded = exact.to(self.dtype).double()
        shift = (rounded - exact) * scale
        return torch.stack(
            [rounded, scale, shift if self.bias is None else shift + self._each(constants[self.bias], scale)]
        )

    @staticmethod
    def _each(numbers: Tensor, channels: Tensor) -> Tensor:
        """One number for each channel, where each of the given ones may be that of several, one after the other."""
        return small(numbers).repeat_interleave(len(channels) // len(numbers))


@dataclass(frozen=True)
class Normalise(Operation):
    """(x - centre) * scale + shift, (3, channels) from a barrier, then perhaps times and plus affine images.

    Inputs: x of dimensions `dims` on a grid `domain`, the barrier's value, and as many affine images as `affine`
    says, in x's own layout from the last dimension on. `has_weight` is False where the only one is a summand.
    """

    dims: Dims
    domain: Domain
    affine: tuple[Dims, ...] = ()
    has_weight: bool = True

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"

    @property
    def can_overwrite(self) -> bool:
        return True

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        images = tuple(span if any(axis in axes for axes in dims) else None for dims in self.affine)
        return (span, None, *images)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        centre, scale, shift = self._factors(inputs)
        x = inputs[0] - centre
        if x.requires_grad:
            return self._with_gradients(torch.addcmul(shift, x, scale), inputs)
        return self._with_affine(torch.addcmul(shift, x, scale, out=x), inputs)

    def _with_gradients(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """As `_with_affine`, for gradients to be taken: they need what was there before."""
        images = list(inputs[2:])
        if images and self.has_weight:
            x = x * images.pop(0)
        return x + images.pop(0) if images else x

    def overwrite(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Tensor:
        del constants, want
        centre, scale, shift = self._factors(inputs)
        x = inputs[0].sub_(centre)
        return self._with_affine(torch.addcmul(shift, x, scale, out=x), inputs)

    def _factors(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, factors = inputs[0], inputs[1]
        shape = [1 if axes else n for n, axes in zip(x.shape, self.dims, strict=True)]
        centre, scale, shift = (factor.reshape(shape) for factor in factors)
        return centre, scale, shift

    def _with_affine(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        images = list(inputs[2:])
        if images and self.has_weight:
            x = x.mul_(images.pop(0))
        return x.add_(images.pop(0)) if images else x


@dataclass(frozen=True)
class ChannelNorm(Local):
    """A stored call that normalises over channels."""

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"


def _local_layer_norm(request: Request) -> Built:
    image = request.image()
    count, rank = len(request.arg(1)), len(image.value.shape)
    require_channels(image.value, list(range(rank - count, rank)), "normalises")
    return stored(request, image.value.dims, ChannelNorm)


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
        return _local_layer_norm(request)
    if any(dims[:first]):
        return _along_rows(request, image, first)
    groups = prod(n for n, axes in zip(image.value.shape[:first], dims[:first], strict=True) if not axes)
    given = [a for a in (request.arg(2), request.arg(3)) if a is not None]
    if not all(isinstance(a, ImageArgument) for a in given):
        raise Unsupported("its weights have no positions, though it normalises over the plane")
    factors = _factors(request, image, groups, float(request.arg(4, 1e-5)), (None, None))
    affine = tuple(a.value.dims for a in given)
    operation = Normalise(dims, image.value.domain, affine, request.arg(2) is not None)
    return Built(operation, (image, factors, *given), dims, image.value.domain)


def _along_rows(request: Request, image: ImageArgument, first: int) -> Built:
    """The last dimensions alone, of which one is spatial."""
    spatial = [d for d in range(first, len(image.value.dims)) if image.value.dims[d]]
    if len(spatial) != 1:
        raise Unsupported("it normalises along some spatial axes and not along another")
    return along_whole_axis(request, spatial[0])


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
    channels = prod(n for n, axes in zip(image.value.shape, image.value.dims, strict=True) if not axes)
    shape = (3, channels)
    names = [a.name if a is not None else None for a in affine]
    barrier = ScaleShift((image.value.dims,), image.value.domain, shape, request.dtype, groups, eps, *names)
    return Pending(Built(barrier, (image,), ((), ())), shape, request.dtype)


def _layer_dims(request: Request) -> Dims | None:
    """Weights of a layer norm over the plane have its positions."""
    dims = request.image().value.dims
    first = len(dims) - len(request.arg(1))
    return dims if any(dims[first:]) and not any(dims[:first]) else None


VERDICT = "barrier"

OPERATORS: Operators = {
    "aten.layer_norm.default": Operator(layer_norm, constant_dims=_layer_dims),
    "aten.instance_norm.default": Operator(instance_norm, momentum_at=6),
    "aten.group_norm.default": Operator(group_norm),
    "aten.native_group_norm.default": Operator(native_group_norm),
    "aten._native_batch_norm_legit.no_stats": Operator(batch_norm),
    "aten._native_batch_norm_legit_functional.default": Operator(batch_norm_in_training, momentum_at=6),
}
