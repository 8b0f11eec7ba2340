"""From one floating-point type to another, pixel by pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.errors import BadRequest
from napari_seamless.program.ops.operation import Memory, Operation
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Cast(Operation):
    """The same values in `dtype`, rounded to nearest; `domain` is the input's size along each spatial axis.

    Coming from float16, which ends at 65504, infinities and NaN are refused: BadRequest.
    """

    dtype: torch.dtype
    domain: tuple[int | None, ...]

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        return (span if self.domain[axis] is not None else None,)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return within_reach(inputs[0]).to(self.dtype)


@dataclass(frozen=True)
class WithinReach(Operation):
    """The same tensor, looked at for infinities and NaN: an activation may hide what comes of one later on."""

    domain: tuple[int | None, ...]

    @property
    def memory(self) -> Memory:
        return "input"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        return (span if self.domain[axis] is not None else None,)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        return within_reach(inputs[0])


def within_reach(x: Tensor) -> Tensor:
    """The tensor. Raises BadRequest where float16 did not reach far enough for it."""
    if x.dtype == torch.float16 and not bool(x.isfinite().all()):
        raise BadRequest(
            f"values in float16 must be at most {torch.finfo(torch.float16).max:.0f}; this network goes beyond that on "
            "this image; use precision='bfloat16' (--precision bfloat16), which reaches as far as float32, or 'float32'"
        )
    return x
