"""Max unpooling: maxima go back to where they were taken from, and all else is 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import IDENTITY, Centre, LowPrecision, Operation
from napari_seamless.program.ops.pool import MaxPlaces
from napari_seamless.program.ops.request import Builder, Built, ImageArgument, Operator, Operators, Request, Unsupported
from napari_seamless.program.ops.sliding import Slide
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class Unpool(Operation):
    """Inputs: values, and their places, counted in a plane of sizes `out`. `slides` are those of the pooling that made
    the places, so that it is known which values can lie in a region."""

    slides: tuple[Slide, ...]
    counts: tuple[int, ...]
    out: tuple[int, ...]

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def _along(self, axis: int) -> int | None:
        return next((k for k, slide in enumerate(self.slides) if slide.axis == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        k = self._along(axis)
        if k is None or span is None:
            return (span, span)
        slide = self.slides[k]
        lo = -((slide.kernel - 1 - span[0] - slide.before) // slide.stride)
        hi = (span[1] - 1 + slide.before) // slide.stride + 1
        need = clip((lo, hi), self.counts[k])
        return (need, need)

    def centre(self, axis: int) -> Centre:
        k = self._along(axis)
        if k is None:
            return IDENTITY
        slide = self.slides[k]
        return Fraction(1, slide.stride), Fraction(2 * slide.before - slide.kernel + 1, 2 * slide.stride)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        values, places = inputs
        lead = values.shape[: values.dim() - len(self.slides)]
        spans = [self._span(want, k) for k in range(len(self.slides))]
        sizes = [hi - lo for lo, hi in spans]
        places = places.flatten(len(lead))
        at, inside = torch.zeros_like(places), torch.ones_like(places, dtype=torch.bool)
        for k, (lo, hi) in enumerate(spans):
            here = places // prod(self.out[k + 1 :]) % self.out[k]
            inside &= (here >= lo) & (here < hi)
            at = at * sizes[k] + here - lo
        room = prod(sizes)  # one more element takes what lies elsewhere
        found = values.new_zeros(*lead, room + 1)
        found = found.scatter(-1, torch.where(inside, at, room), values.flatten(len(lead)))
        return found[..., :room].reshape(*lead, *sizes)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return 3 * sizes[1]

    def _span(self, want: Box, k: int) -> Span:
        axis = self.slides[k].axis
        span = want[axis] if axis is not None else None
        return (0, self.out[k]) if span is None else span


def unpool(rank: int) -> Builder:
    """aten.max_unpoolNd(input, indices, output size, ...)."""

    def build(request: Request) -> Built:
        image, places = request.image(), request.image(1)
        made_by = places.operation if isinstance(places, ImageArgument) else None
        if not isinstance(made_by, MaxPlaces):
            raise Unsupported("its places do not come from a max pooling as they are")
        if any(slide.kernel > slide.stride or slide.dilation > 1 for slide in made_by.slides):
            raise Unsupported("its places come from a pooling whose windows overlap, so that two values may meet")
        if image.value.dims != places.value.dims or image.value.shape != places.value.shape:
            raise Unsupported("its places have other positions than its values")
        out = request.shape[-rank:]
        if out[1:] != tuple(slide.size for slide in made_by.slides)[1:]:
            raise Unsupported("it makes an image of another size than was pooled")
        operation = Unpool(made_by.slides, image.value.shape[-rank:], out)
        return Built(operation, (image, places), image.value.dims)

    return build


OPERATORS: Operators = {
    "aten.max_unpool2d.default": Operator(unpool(2)),
    "aten.max_unpool3d.default": Operator(unpool(3)),
}
