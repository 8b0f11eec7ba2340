"""Reductions over the plane that follow from the moments of a value, which are measured once for all of them.

The mean of (x - c)^2 is that of x's squared differences from its own mean, plus the square of how far c lies from that
mean, for any c that is the same at all positions. So a variance written by hand, a mean and then the mean of squared
differences from it, needs no pass of its own behind the mean's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Constants, State
from napari_seamless.program.ops.local import Domain
from napari_seamless.program.ops.moments import MomentsBarrier
from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.ops.reduce import Mean
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Moments(MomentsBarrier):
    """Count, mean and M2 of each channel: (3, *channel-like dimensions) float64."""

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, mean, m2 = state
        return torch.stack([count.expand_as(mean), mean, m2])


@dataclass(frozen=True)
class FromMoments(Operation):
    """The value of `reduction`, a mean, sum, variance or length, of x - factor * c, or of its square.

    Inputs: the `Moments` of x, and c, of one position and of x's channels or fewer, on a grid `domain`; without c
    (`domain` None) the reduction is of x itself. Of squares only means and sums are known.
    """

    reduction: Mean
    domain: Domain | None = None
    factor: float = 1.0
    squares: bool = False

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del span
        if self.domain is None:
            return (None,)
        return (None, None if self.domain[axis] is None else (0, 1))

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have, want
        count, mean, m2 = inputs[0][0].flatten()[0], inputs[0][1], inputs[0][2]
        if self.domain is not None:
            mean = mean - self.factor * self._beside_channels(inputs[1], mean)
        if self.squares:
            mean, m2 = m2 / count + mean.square(), torch.zeros_like(m2)
        return self.reduction.finish((count, mean, m2), constants).to(inputs[0].device)

    def _beside_channels(self, c: Tensor, mean: Tensor) -> Tensor:
        """c as it is broadcast against x, without x's positions."""
        dims = self.reduction.dims[0]
        full = c.to(mean.dtype).reshape((1,) * (len(dims) - c.dim()) + tuple(c.shape))
        return full.squeeze(tuple(d for d, axes in enumerate(dims) if axes))
