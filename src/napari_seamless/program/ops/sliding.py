"""The arithmetic that convolution and pooling share: a kernel that slides over one axis.

With stride s, dilation d, kernel k and padding p, outputs [lo, hi) read inputs

    [lo * s - p,  (hi - 1) * s - p + d * (k - 1) + 1)

What of that lies outside the tensor is the network's own padding; it is applied there and nowhere else.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, Operation
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class Slide:
    """One dimension of a sliding kernel. `axis` is None where the dimension is not spatial and so always whole."""

    axis: int | None
    kernel: int
    stride: int
    before: int
    after: int
    dilation: int
    size: int

    def reach(self, span: Span) -> Span:
        """The inputs that outputs `span` read, padding included."""
        lo = span[0] * self.stride - self.before
        return lo, (span[1] - 1) * self.stride - self.before + self.dilation * (self.kernel - 1) + 1

    def demand(self, span: Span) -> Span:
        return clip(self.reach(span), self.size)

    def padding(self, span: Span) -> tuple[int, int]:
        """How much of the reach lies outside the tensor, before and after the demanded part."""
        lo, hi = self.reach(span)
        first, last = self.demand(span)
        return first - lo, hi - last

    @property
    def centre(self) -> Centre:
        return Fraction(self.stride), Fraction(self.dilation * (self.kernel - 1), 2) - self.before


def paddings(slides: Sequence[Slide], want: Box) -> list[tuple[int, int]]:
    """Padding (before, after) of each dimension for the output region `want`; negative where input must be cut."""
    result = []
    for slide in slides:
        span = want[slide.axis] if slide.axis is not None else None
        result.append(slide.padding(span) if span is not None else (slide.before, slide.after))
    return result


def padded(x: Tensor, pads: Sequence[tuple[int, int]], value: float = 0.0) -> Tensor:
    """Pad the last len(pads) dimensions by (before, after), keeping the order of memory; a negative amount crops."""
    if not any(before or after for before, after in pads):
        return x
    if x.requires_grad:
        return F.pad(x, [amount for pair in reversed(pads) for amount in pair], value=value)
    grown = _grown(x, [(max(before, 0), max(after, 0)) for before, after in pads], value)
    first = x.dim() - len(pads)
    for dim, (before, after) in enumerate(pads, first):
        lo, hi = max(-before, 0), grown.shape[dim] - max(-after, 0)
        grown = grown.narrow(dim, lo, hi - lo)
    return grown


def _grown(x: Tensor, pads: Sequence[tuple[int, int]], value: float) -> Tensor:
    """As `padded`, for amounts of at least 0. Only the rim is filled, which torch's own padding does not care to do."""
    out = room(x, pads)
    first, inner = x.dim() - len(pads), out
    for dim, (before, after) in enumerate(pads, first):
        inner.narrow(dim, 0, before).fill_(value)
        inner.narrow(dim, inner.shape[dim] - after, after).fill_(value)
        inner = inner.narrow(dim, before, x.shape[dim])
    inner.copy_(x)
    return out


def room(x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
    """An empty tensor for x and (before, after) more pixels along its last dimensions, in x's order of memory."""
    first = x.dim() - len(pads)
    shape = [*x.shape[:first], *(n + b + a for n, (b, a) in zip(x.shape[first:], pads, strict=True))]
    last = {4: torch.channels_last, 5: torch.channels_last_3d}.get(x.dim(), torch.contiguous_format)
    order = last if x.stride(1) == 1 else torch.contiguous_format
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=order)


@dataclass(frozen=True)
class OfSlides(Operation):
    """An operation with a kernel that slides; one slide a dimension."""

    slides: tuple[Slide, ...]

    @property
    def kernels(self) -> tuple[int, ...]:
        return tuple(s.kernel for s in self.slides)

    @property
    def strides(self) -> tuple[int, ...]:
        return tuple(s.stride for s in self.slides)

    @property
    def dilations(self) -> tuple[int, ...]:
        return tuple(s.dilation for s in self.slides)


@dataclass(frozen=True)
class Sliding(OfSlides):
    """The rule that convolution and pooling share; the kernels are theirs."""

    def _along(self, axis: int) -> Slide | None:
        return next((s for s in self.slides if s.axis == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        slide = self._along(axis)
        return (slide.demand(span) if slide is not None and span is not None else span,)

    def border(self, axis: int, span: Span | None) -> Hashable:
        slide = self._along(axis)
        return slide.padding(span) if slide is not None and span is not None else ()

    def centre(self, axis: int) -> Centre:
        slide = self._along(axis)
        return slide.centre if slide is not None else IDENTITY
