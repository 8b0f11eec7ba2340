"""The lower or upper triangle of the last two dimensions: elements beyond a diagonal are 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.operation import LowPrecision, Operation
from napari_seamless.program.ops.request import Builder, Built, Operator, Operators, Request, spatial_axes
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Triangle(Operation):
    """Keeps elements of row i and column j, counted in the whole plane, with j - i at most `diagonal` (`lower`), or at
    least. `axes` are the spatial axes of rows and columns, None for a channel-like dimension."""

    axes: tuple[int | None, int | None]
    diagonal: int
    lower: bool

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis
        return (span,)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = inputs[0]
        rows, columns = (
            torch.arange(count, device=x.device) + _first(want, axis)
            for axis, count in zip(self.axes, x.shape[-2:], strict=True)
        )
        offset = columns - rows[:, None]
        kept = offset <= self.diagonal if self.lower else offset >= self.diagonal
        return torch.where(kept, x, torch.zeros((), dtype=x.dtype, device=x.device))


def _first(want: Box, axis: int | None) -> int:
    span = want[axis] if axis is not None else None
    return 0 if span is None else span[0]


def triangle(*, lower: bool) -> Builder:
    """aten.tril(input, diagonal) and aten.triu."""

    def build(request: Request) -> Built:
        image = request.image()
        rows, columns = spatial_axes(image, 2)
        if rows is None and columns is None:
            return stored(request, image.value.dims)
        diagonal = int(request.kwargs.get("diagonal", request.arg(1, 0)))
        return Built(Triangle((rows, columns), diagonal, lower), (image,), image.value.dims, image.value.domain)

    return build


OPERATORS: Operators = {
    "aten.tril.default": Operator(triangle(lower=True)),
    "aten.triu.default": Operator(triangle(lower=False)),
}
