"""Sum, mean, variance and norm over the whole plane, as barriers; over channels alone they are stored calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.axis_reduce import AxisReduction, without
from napari_seamless.program.ops.barrier import Barrier, Constants, State
from napari_seamless.program.ops.channelwise import along_channels
from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.moments import MomentsBarrier, pooled
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
    wrap,
)
from napari_seamless.program.spans import Box

Make = Callable[[Request, ImageArgument, tuple[int, ...]], Barrier]
"""From a request, its image and the channel-like dimensions reduced as well (numbered among channel-like ones)."""


@dataclass(frozen=True)
class Mean(MomentsBarrier):
    """Mean over the plane, and over the channel-like dimensions `also` (numbered among channel-like ones)."""

    also: tuple[int, ...] = ()

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        return pooled(state, self.also)[1]


@dataclass(frozen=True)
class Total(Mean):
    """Sum over the plane."""

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, mean, _ = pooled(state, self.also)
        return count * mean


@dataclass(frozen=True)
class NumbersTotal(Total):
    """Sum over the plane of all that is a number."""

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        return super().partial([inputs[0].nan_to_num(nan=0.0, posinf=torch.inf, neginf=-torch.inf)], own)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        (given,) = super().pull([inputs[0].nan_to_num()], own, state, cotangent)
        return (None if given is None else torch.where(inputs[0].isnan(), 0.0, given),)


@dataclass(frozen=True)
class NonzeroCount(Total):
    """How many elements over the plane are not 0."""

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        return super().partial([inputs[0].ne(0)], own)


@dataclass(frozen=True)
class Variance(Mean):
    """Variance with `correction`, or its root."""

    correction: float = 1.0
    root: bool = False

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, _, m2 = pooled(state, self.also)
        variance = m2 / (count - self.correction).clamp_min(0)
        return variance.sqrt() if self.root else variance


@dataclass(frozen=True)
class Length(Mean):
    """Euclidean norm over the plane."""

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, mean, m2 = pooled(state, self.also)
        squares = m2 + count * mean.square()
        return torch.where(squares > 0, torch.where(squares > 0, squares, 1.0).sqrt(), 0.0)


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
    left = tuple(d for d, axes in enumerate(value.dims) if axes and d not in along and value.shape[d] > 1)
    if any(len(value.dims[d]) > 1 for d in left):
        raise Unsupported("it reduces one spatial axis and keeps others that were flattened")
    one = replace(image, value=replace(value, dims=without(value.dims, left)))
    barrier = make(request, one, _also(one, along))
    if left:
        barrier = AxisReduction((value.dims,), value.domain, request.shape, request.dtype, barrier, left)
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


def numbers_total(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return NumbersTotal(**common(request, image), also=also)


def nonzero_count(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return NonzeroCount(**common(request, image), also=also)


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


VERDICT = "barrier"

OPERATORS: Operators = {
    "aten.sum.dim_IntList": Operator(reducing(total)),
    "aten.mean.dim": Operator(reducing(mean)),
    **{f"aten.{name}.dim": Operator(reducing(spread(root=root, correction_at=2), keepdim_at=3))
       for name, root in (("var", False), ("std", True))},
    **{f"aten.{name}.correction": Operator(reducing(spread(root=root), keepdim_at=None))
       for name, root in (("var", False), ("std", True))},
    **{f"aten.{name}_mean.correction": Operator(reducing(spread_and_mean(root=root), keepdim_at=None))
       for name, root in (("var", False), ("std", True))},
    "aten.nansum.default": Operator(reducing(numbers_total)),
    "aten.count_nonzero.dim_IntList": Operator(reducing(nonzero_count)),
    "aten.count_nonzero.default": Operator(reducing(nonzero_count)),
    "aten.mean.default": Operator(reducing(mean, dim_at=None)),
    **{f"aten.{name}.default": Operator(reducing(spread(root=root, correction_at=1), dim_at=None))
       for name, root in (("var", False), ("std", True))},
    "aten.sum.default": Operator(reducing(total, dim_at=None)),
}  # fmt: skip
