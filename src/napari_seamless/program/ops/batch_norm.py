"""Batch norm with stored statistics: one factor and one summand a channel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.local import Local, Weight, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Request,
    Unsupported,
)


@dataclass(frozen=True)
class BatchNorm(Local):
    """A stored call of a batch norm: (input, weight, bias, mean, variance, momentum, eps)."""

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"

    def channel_affine(self, constants: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        def given(item: object, default: float) -> Tensor:
            if isinstance(item, Weight):
                return constants[item.name].double()
            return torch.tensor(default, dtype=torch.float64)

        _, weight, bias, mean, variance, _, eps = self.args
        scale = given(weight, 1.0) / torch.sqrt(given(variance, 1.0) + eps)
        return scale, given(bias, 0.0) - given(mean, 0.0) * scale


def batch_norm(request: Request) -> Built:
    if request.part != 0:
        raise Unsupported("the saved statistics of a batch norm are not available")
    image = request.image()
    for position, what in ((1, "scale"), (2, "shift"), (3, "mean"), (4, "variance")):
        request.constant(position, what)
    return stored(request, image.value.dims, BatchNorm)


OPERATORS: Operators = {"aten._native_batch_norm_legit_no_training.default": Operator(batch_norm)}
