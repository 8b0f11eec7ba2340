"""Resizing by any ratio: linear and cubic, with and without antialiasing, all align_corners.

Every output pixel of an axis is a weighted sum of a few input pixels (its taps), whose positions come from the
*global* coordinate and the *whole* image's ratio. torch computes those positions in single precision for float32
images; so do we, step for step, since at coordinate 50 000 the rounding alone moves a weight by 0.004.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, LowPrecision, Operation, gathered
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class Resize:
    """One axis: `size` input pixels, `scale` input pixels per output pixel (torch's own value), filter `kind`.

    `kind` is "linear" or "cubic"; `antialias` widens the filter when shrinking.
    """

    size: int
    scale: float
    kind: str
    align_corners: bool
    antialias: bool
    double: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.double else torch.float32

    def taps(self, span: Span) -> tuple[Tensor, Tensor]:
        """(positions, weights), each of shape (outputs, taps); positions are clamped to the image."""
        out = torch.arange(*span, dtype=self.dtype)
        scale = torch.tensor(self.scale, dtype=self.dtype)
        if self.antialias:
            return self._wide(out, scale)
        real = out * scale if self.align_corners else _fused_minus_half((out + 0.5), scale)
        return self._linear(real) if self.kind == "linear" else self._cubic(real)

    def demand(self, span: Span) -> Span:
        first, _ = self.taps((span[0], span[0] + 1))
        last, _ = self.taps((span[1] - 1, span[1]))
        return int(min(first.min(), last.min())), int(max(first.max(), last.max())) + 1

    def _linear(self, real: Tensor) -> tuple[Tensor, Tensor]:
        real = real.clamp(min=0)
        low = real.to(torch.int64).clamp(max=self.size - 1)
        part = (real - low).clamp(0, 1)
        return torch.stack([low, (low + 1).clamp(max=self.size - 1)], 1), torch.stack([1 - part, part], 1)

    def _cubic(self, real: Tensor) -> tuple[Tensor, Tensor]:
        """Keys' kernel with a = -0.75, as torch's."""
        low = real.floor()
        part = real - low
        offsets = torch.arange(-1, 3)
        where = (low.to(torch.int64)[:, None] + offsets).clamp(0, self.size - 1)
        return where, _keys((part[:, None] - offsets).abs(), -0.75)

    def _wide(self, out: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        """Filters stretched by the ratio when shrinking, normalised; taps outside the image have no weight."""
        radius = 1.0 if self.kind == "linear" else 2.0
        stretch = scale.clamp(min=1.0)
        support = radius * stretch
        centre = (out + 0.5) * scale
        low = (centre - support + 0.5).to(torch.int64).clamp(min=0)
        high = (centre + support + 0.5).to(torch.int64).clamp(max=self.size)
        where = low[:, None] + torch.arange(int((high - low).max()))
        distance = (((where - low[:, None]) + (low - centre)[:, None] + 0.5) * (1 / stretch)).abs()
        weights = (1 - distance).clamp(min=0) if self.kind == "linear" else _keys(distance, -0.5)
        weights = torch.where(where < high[:, None], weights, 0.0)
        return torch.minimum(where, high[:, None] - 1), weights / weights.sum(1, keepdim=True)

    @property
    def centre(self) -> Centre:
        scale = Fraction(self.scale).limit_denominator(1 << 20)
        return scale, (Fraction(0) if self.align_corners else (scale - 1) / 2)


def _fused_minus_half(position: Tensor, scale: Tensor) -> Tensor:
    """position * scale - 0.5, rounded once at the end, as processors with fused multiply-add do it."""
    return (position.double() * scale.double() - 0.5).to(position.dtype)


def _keys(distance: Tensor, a: float) -> Tensor:
    """Keys' cubic convolution kernel (Keys 1981, doi 10.1109/TASSP.1981.1163711)."""
    near = ((a + 2) * distance - (a + 3)) * distance * distance + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, torch.where(distance < 2, far, 0.0))


@dataclass(frozen=True)
class Resample(Operation):
    """Weighted sums of taps, one axis after the other."""

    axes: tuple[tuple[int, int, Resize], ...]
    """(axis, dimension, resizing)"""

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"

    def _along(self, axis: int) -> Resize | None:
        return next((r for a, _, r in self.axes if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        resize = self._along(axis)
        return (resize.demand(span) if resize is not None and span is not None else span,)

    def centre(self, axis: int) -> Centre:
        resize = self._along(axis)
        return resize.centre if resize is not None else IDENTITY

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        x = inputs[0]
        for axis, dim, resize in self.axes:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            x = weighted(x, dim, *resize.taps(span), held[0])
        return x

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """Along each axis one gathered copy beside the sum, and the image as resized so far."""
        grown, stages, before = sizes[0], [], 0
        for axis, _, _ in self.axes:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            grown = grown * (span[1] - span[0]) // (held[1] - held[0])
            stages.append(before + 2 * grown)
            before = grown
        return max(stages) - grown


def weighted(x: Tensor, dim: int, where: Tensor, weights: Tensor, origin: int) -> Tensor:
    """Sum over taps of weights[:, k] * x at where[:, k] along one dimension; x starts at pixel `origin`."""
    where, weights = (where - origin).to(x.device), weights.to(x.device, x.dtype)
    shape = (-1, *(1,) * (x.dim() - dim - 1))
    total = gathered(x, dim, where[:, 0].contiguous()).mul_(weights[:, 0].reshape(shape))
    for k in range(1, where.shape[1]):
        total.addcmul_(gathered(x, dim, where[:, k].contiguous()), weights[:, k].reshape(shape))
    return total
