"""Running sums: along channels at each position, along a spatial axis by the sums of blocks, which are a barrier."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.axis_reduce import AxisReduction, without
from napari_seamless.program.ops.barrier import Barrier, Constants, State, Summed, small
from napari_seamless.program.ops.channelwise import along_channels
from napari_seamless.program.ops.local import Domain
from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.ops.request import Built, Operator, Operators, Pending, Request, Unsupported, wrap
from napari_seamless.program.spans import Box, Span

BLOCK = 256
"""Positions that a tile sums itself; what lies before them it gets as one number."""

LARGEST = 1 << 30
"""Bytes that the sums of all blocks may take."""


@dataclass(frozen=True)
class BlocksBefore(Summed):
    """For each block of positions along one axis the sum of all blocks before it.

    State: the sum of each block, (*channel-like dimensions, blocks). `dim` is the axis' dimension; in the value the
    blocks stand in its place.
    """

    axis: int
    dim: int
    blocks: int

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        x, span = inputs[0], own[self.axis]
        assert span is not None
        rows = x.movedim(self.dim, -1)
        rows = rows.double() if x.device.type == "cpu" else rows.float()
        others = tuple(d for d in self.over if d != self.dim)
        left = [n for d, n in enumerate(x.shape) if d not in self.over]
        total = torch.zeros(*left, self.blocks, dtype=torch.float64)
        for block in range(span[0] // BLOCK, (span[1] - 1) // BLOCK + 1):
            lo, hi = max(block * BLOCK, span[0]), min((block + 1) * BLOCK, span[1])
            part = rows.narrow(-1, lo - span[0], hi - lo).sum(-1)
            moved = tuple(d - (d > self.dim) for d in others)  # of one position each
            total[..., block] = small(part.sum(moved) if moved else part)
        return (total,)

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        before = state[0].cumsum(-1) - state[0]
        return before.movedim(-1, sum(not axes for axes in self.dims[0][: self.dim]))

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        del state
        x, span = inputs[0], own[self.axis]
        assert span is not None
        where = torch.arange(*span) // BLOCK
        given = cotangent[0].index_select(-1, where).to(x.dtype).to(x.device)
        shape = [n for d, n in enumerate(x.shape) if d != self.dim]
        return (given.reshape(*shape, -1).movedim(-1, self.dim),)


@dataclass(frozen=True)
class RunningSum(Operation):
    """The sum of all positions up to each one. Inputs: x, and the sums before blocks, on a grid `domain`."""

    axis: int
    dim: int
    dtype: torch.dtype
    domain: Domain

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if span is None:
            return (None, None)
        size = self.domain[axis]
        first = span[0] // BLOCK * BLOCK if axis == self.axis else span[0]
        return ((first, span[1]), None if size is None else (0, 1) if size == 1 else span)

    def border(self, axis: int, span: Span | None) -> Hashable:
        return span[0] % BLOCK if axis == self.axis and span is not None else ()

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        held, span = have[0][self.axis], want[self.axis]
        assert held is not None
        assert span is not None
        rows = inputs[0].to(self.dtype).movedim(self.dim, -1)
        filled = F.pad(rows, (0, -rows.shape[-1] % BLOCK))
        blocks: Tensor = filled.reshape(*filled.shape[:-1], -1, BLOCK).cumsum(-1)
        before = inputs[1].movedim(self.dim, -1).narrow(-1, held[0] // BLOCK, blocks.shape[-2])
        total = (blocks + before[..., None]).flatten(-2)
        return total.narrow(-1, span[0] - held[0], span[1] - span[0]).movedim(-1, self.dim)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return 4 * sizes[0]


def running_sum(request: Request) -> Built:
    """aten.cumsum(input, dim)."""
    image = request.image()
    value = image.value
    dim = wrap(request.arg(1), len(value.shape))
    axes = value.dims[dim]
    if not axes:
        return along_channels(1)(request)
    if len(axes) > 1 or any(len(a) > 1 for a in value.dims):
        raise Unsupported("it is a running sum over positions that were flattened")
    size = value.shape[dim]
    blocks = -(-size // BLOCK)
    shape = tuple(blocks if d == dim else n for d, n in enumerate(value.shape))
    if prod(shape) * 8 > LARGEST:
        raise Unsupported("it is a running sum over an image so large that the sums of its blocks have no room")
    dims = tuple(() if d == dim else a for d, a in enumerate(value.dims))
    kept = tuple(d for d, a in enumerate(dims) if a and value.shape[d] > 1)
    common: dict[str, Any] = {"domain": value.domain, "shape": shape, "dtype": request.dtype}
    barrier: Barrier = BlocksBefore((without(value.dims, kept),), **common, axis=axes[0], dim=dim, blocks=blocks)
    if kept:
        barrier = AxisReduction((value.dims,), **common, inner=barrier, kept=kept)
    built = Built(barrier, (image,), dims)
    operation = RunningSum(axes[0], dim, request.dtype, built.domain(shape, request.ndim))
    return Built(operation, (image, Pending(built, shape, request.dtype)), value.dims, value.domain)


VERDICT = "barrier"

OPERATORS: Operators = {"aten.cumsum.default": Operator(running_sum)}
