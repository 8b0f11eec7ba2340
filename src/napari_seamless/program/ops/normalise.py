"""What follows a barrier, pixel by pixel: normalising by measured scale and shift, and a spatial softmax."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.spans import Box, Dims, Span

Domain = tuple[int | None, ...]


@dataclass(frozen=True)
class Normalise(Operation):
    """(x - centre) * scale + shift, (3, channels) from a barrier, then perhaps times and plus affine images.

    Inputs: x of dimensions `dims` on a grid `domain`, the barrier's value, and as many affine images as `affine`
    says, in x's own layout from the last dimension on. `has_weight` is False where the only one is a summand.
    """

    dims: Dims
    domain: Domain
    affine: tuple[Dims, ...] = ()
    has_weight: bool = True

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        images = tuple(span if any(axis in axes for axes in dims) else None for dims in self.affine)
        return (span, None, *images)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        centre, scale, shift = self._factors(inputs)
        x = inputs[0] - centre
        if x.requires_grad:
            return self._learning(torch.addcmul(shift, x, scale), inputs)
        return self._with_affine(torch.addcmul(shift, x, scale, out=x), inputs)

    def _learning(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        """As `_with_affine`, for gradients to be taken: they need what was there before."""
        images = list(inputs[2:])
        if images and self.has_weight:
            x = x * images.pop(0)
        return x + images.pop(0) if images else x

    def overwrite(self, inputs: Sequence[Tensor]) -> Tensor:
        """As `run`, over the first input's memory."""
        centre, scale, shift = self._factors(inputs)
        x = inputs[0].sub_(centre)
        return self._with_affine(torch.addcmul(shift, x, scale, out=x), inputs)

    def _factors(self, inputs: Sequence[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        x, factors = inputs[0], inputs[1]
        shape = [1 if axes else n for n, axes in zip(x.shape, self.dims, strict=True)]
        centre, scale, shift = (factor.reshape(shape) for factor in factors)
        return centre, scale, shift

    def _with_affine(self, x: Tensor, inputs: Sequence[Tensor]) -> Tensor:
        images = list(inputs[2:])
        if images and self.has_weight:
            x = x.mul_(images.pop(0))
        return x.add_(images.pop(0)) if images else x


@dataclass(frozen=True)
class SpatialSoftmax(Operation):
    """exp(x - log(sum(exp(x)))), or without exp with `log`; the second input is the barrier's log of the sum.

    `keep` is the shape that lets the barrier's value be broadcast against x.
    """

    keep: tuple[int, ...]
    log: bool = False

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis
        return (span, None)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        shifted = inputs[0] - inputs[1].reshape(self.keep)
        return shifted if self.log else shifted.exp_()
