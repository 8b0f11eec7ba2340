"""Softmax and log-sum-exp: along channels, or over the whole plane by a barrier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State, beside, small
from napari_seamless.program.ops.channelwise import along_channels
from napari_seamless.program.ops.local import Domain
from napari_seamless.program.ops.operation import (
    Operation,
)
from napari_seamless.program.ops.reduce import common, reduced, reducing
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    ImageArgument,
    Operator,
    Operators,
    Pending,
    Request,
    wrap,
)
from napari_seamless.program.spans import Box, Span


@dataclass(frozen=True)
class LogSumExp(Barrier):
    """log(sum(exp(x))) over the plane and over channel-like dimensions `also`: the normaliser of a spatial softmax.

    State: the largest x, and the sum of exp(x - largest), as in Milakov and Gimelshein (2018, arXiv 1805.02867).
    """

    also: tuple[int, ...] = ()

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        x = inputs[0]
        top = x.amax(self.over, keepdim=True)
        return small(top.squeeze(self.over)), small((x - top).exp_().sum(self.over))

    def merge(self, a: State, b: State) -> State:
        top = torch.maximum(a[0], b[0])
        return top, a[1] * (a[0] - top).exp() + b[1] * (b[0] - top).exp()

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        each = state[0] + state[1].log()
        return torch.logsumexp(each, self.also) if self.also else each

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        """The largest x only sets the scale, so all of the gradient goes by way of the sum."""
        del own
        x = inputs[0]
        return ((x - beside(state[0], x, self.over)).exp_().mul_(beside(cotangent[1], x, self.over)),)


@dataclass(frozen=True)
class SpatialSoftmax(Operation):
    """exp(x - log(sum(exp(x)))), or without exp with `log`; the second input is the barrier's log of the sum.

    `domain` is the grid of the barrier's value, of one position along the axes that are summed over.
    """

    domain: Domain
    log: bool = False

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        size = self.domain[axis]
        return (span, None if size is None else (0, 1) if size == 1 else span)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have, want
        shifted = inputs[0] - inputs[1]
        return shifted if self.log else shifted.exp_()


def log_sum_exp(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    return LogSumExp(**common(request, image), also=also)


def softmax(*, log: bool) -> Builder:
    """aten.softmax.int(input, dim): along channels it is local, along (flattened) positions a barrier."""
    local = along_channels(1)

    def build(request: Request) -> Built:
        image = request.image()
        dim = wrap(request.arg(1), len(image.value.shape))
        value = image.value
        if not value.dims[dim]:
            return local(request)
        keep = tuple(1 if d == dim else n for d, n in enumerate(value.shape))
        inner = Request(request.target, request.args, {}, keep, request.dtype, request.ndim)
        barrier = reduced(inner, image, [dim], log_sum_exp)
        operation = SpatialSoftmax(barrier.domain(keep, request.ndim), log)
        return Built(operation, (image, Pending(barrier, keep, request.dtype)), value.dims, value.domain)

    return build


VERDICT = "barrier"

OPERATORS: Operators = {
    **{f"aten.{kind}softmax.int": Operator(softmax(log=bool(kind))) for kind in ("", "log_")},
    **{f"aten._{kind}softmax.default": Operator(softmax(log=bool(kind))) for kind in ("", "log_")},
    "aten.logsumexp.default": Operator(reducing(log_sum_exp)),
}
