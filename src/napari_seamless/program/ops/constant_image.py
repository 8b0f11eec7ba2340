"""A constant as large as the image: coordinates, position codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from napari_seamless.program.ops.local import Domain
from napari_seamless.program.ops.operation import (
    Memory,
    Operation,
    narrow,
)
from napari_seamless.program.spans import Box, Dims, Span


@dataclass(frozen=True)
class ConstantImage(Operation):
    """A constant as large as the image (coordinates, position codes): each region takes its own piece of it.

    `dims` are its dimensions, `domain` its size along each spatial axis.
    """

    name: str
    dims: Dims
    domain: Domain

    @property
    def memory(self) -> Memory:
        return "constant"

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.name,)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis, span
        return ()

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del inputs, have
        whole: Box = tuple((0, n) if n is not None else None for n in self.domain)
        return narrow(constants[self.name], self.dims, whole, want)
