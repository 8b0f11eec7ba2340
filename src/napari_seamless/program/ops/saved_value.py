"""A value that an earlier pass wrote down whole: tiles take their regions of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from napari_seamless.program.ops.operation import (
    Memory,
    Operation,
)
from napari_seamless.program.spans import Box, Dims, Span


@dataclass(frozen=True)
class SavedValue(Operation):
    """Value `value` of the whole program. The engine knows where it lies, and fetches the region itself."""

    value: int
    dims: Dims

    @property
    def memory(self) -> Memory:
        return "saved"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis, span
        return ()

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del inputs, constants, have, want
        raise AssertionError("a saved value is fetched by the engine, which knows where it lies")
