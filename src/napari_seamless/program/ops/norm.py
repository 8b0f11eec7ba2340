"""Norms of any order over the whole plane, as barriers; over channels alone they are stored calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isinf

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State
from napari_seamless.program.ops.extremum import Extremum
from napari_seamless.program.ops.reduce import Length, NonzeroCount, Total, common, reducing
from napari_seamless.program.ops.request import ImageArgument, Operator, Operators, Request
from napari_seamless.program.spans import Box


@dataclass(frozen=True)
class PowerLength(Total):
    """The root of the sum of powers of absolute values over the plane."""

    order: float = 1.0

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        return super().partial([self._powers(inputs[0])], own)

    def value(self, state: State, constants: Constants) -> Tensor:
        total = super().value(state, constants)
        return torch.where(total > 0, torch.where(total > 0, total, 1.0).pow(1 / self.order), 0.0)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        x = inputs[0]
        (given,) = super().pull([self._powers(x)], own, state, cotangent)
        size = torch.where(x == 0, 1.0, x.abs().double())  # below order 1 the slope at 0 would be infinite, times 0
        slope = self.order * size.pow(self.order - 1) * x.sign()
        return (None if given is None else (given * slope).to(x.dtype),)

    def _powers(self, x: Tensor) -> Tensor:
        return x.abs().double().pow(self.order)


@dataclass(frozen=True)
class LargestMagnitude(Extremum):
    """The largest (or smallest) absolute value over the plane."""

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        return super().partial([inputs[0].abs()], own)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        (given,) = super().pull([inputs[0].abs()], own, state, cotangent)
        return (None if given is None else given * inputs[0].sign(),)


def length(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    """aten.linalg_vector_norm(input, ord, dim, keepdim)."""
    order, told = float(request.arg(1, 2)), common(request, image)
    if order == 2.0:
        return Length(**told, also=also)
    if order == 0.0:
        return NonzeroCount(**told, also=also)
    if isinf(order):
        return LargestMagnitude(**told, also=also, largest=order > 0)
    return PowerLength(**told, also=also, order=order)


VERDICT = "barrier"

OPERATORS: Operators = {"aten.linalg_vector_norm.default": Operator(reducing(length, dim_at=2, keepdim_at=3))}
