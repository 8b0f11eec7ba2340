"""Count, mean and M2 (the sum of squared differences from the mean) of channels over the whole plane.

Merging follows Chan, Golub and LeVeque (1983, "Algorithms for computing the sample variance"). The difference of the
mean square and the squared mean would lose everything where the mean is far from zero."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, State, beside, small
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.spans import Box

BLOCK, RUN = 1 << 18, 128
"""Elements that are looked at in one go on a CPU, what its cache holds, and those summed in their own dtype: few enough
for float32 to sum them well."""


@dataclass(frozen=True)
class MomentsBarrier(Barrier):
    """State: count (), mean and M2 (channel-like dimensions, in order)."""

    @property
    def low_precision(self) -> LowPrecision:
        return "reads"

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        x, over = inputs[0], self.over
        channels = [n for d, n in enumerate(x.shape) if d not in over]
        count = torch.tensor(float(prod(x.shape[d] for d in over)), dtype=torch.float64)
        mean, m2 = _block_moments(x, over) if x.device.type == "cpu" else _device_moments(x, over)
        return count, mean.reshape(channels), m2.reshape(channels)

    def merge(self, a: State, b: State) -> State:
        return merged_moments(a, b)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        """d mean / dx = 1 / n and d M2 / dx = 2 (x - mean), the mean's rounding made up for."""
        del own
        x, (count, mean, _) = inputs[0], state
        rounded = mean.to(x.dtype).double()
        shift = cotangent[1] / count - 2 * cotangent[2] * (mean - rounded)
        centred = x - beside(rounded, x, self.over)
        return (centred.mul_(beside(2 * cotangent[2], x, self.over)).add_(beside(shift, x, self.over)),)


def merged_moments(a: State, b: State) -> State:
    """Chan's rule for two sets of pixels."""
    (n_a, mean_a, m2_a), (n_b, mean_b, m2_b) = a, b
    count = n_a + n_b
    if not count:
        return a
    delta = mean_b - mean_a
    return count, mean_a + delta * (n_b / count), m2_a + m2_b + delta.square() * (n_a * n_b / count)


def _device_moments(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    wide = x if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(wide, over, correction=0)
    return small(mean), small(variance) * prod(x.shape[d] for d in over)


def _block_moments(x: Tensor, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and M2 of each channel, block by block while it is in cache, shifted by the first block's rough mean."""
    rest = [d for d in range(x.dim()) if d not in over]
    rows = x.permute(*over, *rest)
    channels = prod(x.shape[d] for d in rest)
    dtype = torch.float32 if x.is_floating_point() and x.dtype != torch.float64 else torch.float64
    step = max(1, BLOCK // max(1, rows[:1].numel()))
    first = rows[:step].reshape(-1, channels)
    shift = first[:: max(1, len(first) // 256)].to(dtype).mean(0)
    total = torch.zeros(2, channels, dtype=torch.float64)
    count = 0
    for k in range(0, len(rows), step):
        block = rows[k : k + step].reshape(-1, channels).to(dtype) - shift
        total[0] += _column_sums(block)
        total[1] += _column_sums(block.square_())
        count += len(block)
    offset = total[0] / count
    return shift.double() + offset, (total[1] - count * offset.square()).clamp_min(0)


def _column_sums(block: Tensor) -> Tensor:
    """(n, c) -> (c), float64: n / RUN runs, each summed in the block's own dtype."""
    runs, channels = len(block) // RUN, block.shape[1]
    whole = block[: runs * RUN].reshape(RUN, runs * channels).sum(0).reshape(runs, channels).sum(0, dtype=torch.float64)
    return whole + block[runs * RUN :].sum(0, dtype=torch.float64)


def pooled(state: State, dims: Sequence[int]) -> State:
    """A state whose channel-like dimensions `dims` (of mean and M2) are merged too; they stay, with size 1."""
    count, mean, m2 = state
    if not dims:
        return state
    size = prod(mean.shape[d] for d in dims)
    centre = mean.mean(tuple(dims), keepdim=True)
    spread = m2.sum(tuple(dims), keepdim=True) + count * (mean - centre).square().sum(tuple(dims), keepdim=True)
    return count * size, centre, spread
