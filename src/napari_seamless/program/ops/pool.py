"""Max and average pooling in 1, 2 and 3 dimensions, with ceil_mode and every way of counting padding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.sliding import Slide, Sliding, padded, paddings
from napari_seamless.program.spans import Box

MAXIMA = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


@dataclass(frozen=True)
class Pool(Sliding):
    """What max and average pooling share: padding is always put in by hand."""

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have
        return sizes[0] if any(b or a for b, a in paddings(self.slides, want)) else 0


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over a sliding kernel; padding never wins. `itemsize` is the bytes of a number, for the prediction."""

    itemsize: int = 4

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        lowest = -torch.inf if inputs[0].is_floating_point() else torch.iinfo(inputs[0].dtype).min
        x = padded(inputs[0], paddings(self.slides, want), lowest)
        return MAXIMA[len(self.slides)](x, self.kernels, self.strides, 0, self.dilations)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """torch keeps the position (int64) of every maximum while it runs."""
        pixels = prod(span[1] - span[0] for span in want if span is not None)
        source = prod(span[1] - span[0] for span in have[0] if span is not None)
        return super().workspace(have, want, sizes) + sizes[0] * 8 // self.itemsize * pixels // source


@dataclass(frozen=True)
class AvgPool(Pool):
    """Mean over a sliding kernel. `counts_padding` and `divisor` are torch's count_include_pad and divisor_override."""

    counts_padding: bool
    divisor: int | None

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        x = padded(inputs[0], paddings(self.slides, want))
        if self.divisor is not None or not any(self._uneven(s, want) for s in self.slides):
            return self._mean(x, self.divisor)
        total = self._mean(x, 1)
        for k, slide in enumerate(self.slides):
            counts = self._counts(slide, want, total.shape[k - len(self.slides)])
            total = total / torch.tensor(counts, dtype=x.dtype, device=x.device).view(
                -1, *(1,) * (len(self.slides) - 1 - k)
            )
        return total

    def _mean(self, x: Tensor, divisor: int | None) -> Tensor:
        if len(self.slides) == 1:
            return F.avg_pool2d(
                x.unsqueeze(-2), (1, *self.kernels), (1, *self.strides), divisor_override=divisor
            ).squeeze(-2)
        pool = F.avg_pool2d if len(self.slides) == 2 else F.avg_pool3d
        return pool(x, self.kernels, self.strides, divisor_override=divisor)

    def _uneven(self, slide: Slide, want: Box) -> bool:
        return any(n != slide.kernel for n in self._counts(slide, want, None))

    def _counts(self, slide: Slide, want: Box, length: int | None) -> list[int]:
        """How many positions each output's mean is taken over. Without `length` only the first and last matter."""
        span = want[slide.axis] if slide.axis is not None else None
        if span is None:
            reach = slide.size + slide.before + slide.after - slide.kernel
            span = (0, reach // slide.stride + 1)
        outputs = range(*span) if length is not None else (span[0], span[1] - 1)
        return [self._count(slide, o) for o in outputs]

    def _count(self, slide: Slide, output: int) -> int:
        lo = output * slide.stride - slide.before
        hi = lo + slide.kernel
        if self.counts_padding:
            return min(hi, slide.size + slide.before) - lo
        return min(hi, slide.size) - max(lo, 0)
