"""The largest or smallest value of the whole plane, and where it lies, as barriers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State, beside, small
from napari_seamless.program.ops.channelwise import along_channels
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.places import Axes, globally, locally
from napari_seamless.program.ops.reduce import Make, along_of, common, reduced, reducing
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
)
from napari_seamless.program.spans import Box


@dataclass(frozen=True)
class Extremum(Barrier):
    """Largest (or smallest) over the plane and over channel-like dimensions `also`; any() and all() too.

    State: the extreme value of each channel. With `tracks_gradients` also, for each channel, how many pixels
    are equal to it, among which torch shares the gradient; or with `first` the place of the first one, in row-major
    order of the plane, to which torch gives all of it.
    """

    largest: bool = True
    also: tuple[int, ...] = ()
    first: bool = False
    tracks_gradients: bool = False

    @property
    def low_precision(self) -> LowPrecision:
        return "reads"

    def with_gradients(self) -> Extremum:
        return replace(self, tracks_gradients=self.has_gradient)

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        x = inputs[0]
        if not self.tracks_gradients:
            return (small(x.amax(self.over) if self.largest else x.amin(self.over)),)
        if self.first:
            top, where = self._rows(x).max(-1) if self.largest else self._rows(x).min(-1)
            return small(top), small(globally(where, self._axes(own)))
        top = x.amax(self.over, keepdim=True) if self.largest else x.amin(self.over, keepdim=True)
        return small(top.squeeze(self.over)), small((x == top).sum(self.over))

    def merge(self, a: State, b: State) -> State:
        best = torch.maximum(a[0], b[0]) if self.largest else torch.minimum(a[0], b[0])
        if not self.tracks_gradients:
            return (best,)
        if self.first:
            places = (torch.where(s[0] == best, s[1], torch.inf) for s in (a, b))
            return best, torch.minimum(*places)
        return best, a[1] * (a[0] == best) + b[1] * (b[0] == best)

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        if not self.also:
            return state[0]
        best = state[0].amax(self.also) if self.largest else state[0].amin(self.also)
        return self._shared(state, best) if self.tracks_gradients and torch.is_grad_enabled() else best

    def _shared(self, state: State, best: Tensor) -> Tensor:
        """The same value, whose gradient goes to channels by how many of the equal elements each has."""
        top = state[0].detach()
        chosen = top == (top.amax(self.also, keepdim=True) if self.largest else top.amin(self.also, keepdim=True))
        weights = chosen * state[1]
        mean = (state[0] * weights / weights.sum(self.also, keepdim=True)).sum(self.also)
        return best.detach() + mean - mean.detach()

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        x = inputs[0]
        if not self.first:
            return ((x == beside(state[0], x, self.over)) * beside(cotangent[0] / state[1], x, self.over),)
        rows = torch.zeros_like(self._rows(x))
        where, inside = locally(state[1].long(), self._axes(own))
        given = (cotangent[0] * inside).to(x.dtype).to(x.device)
        rows.scatter_(-1, where.to(x.device)[..., None], given[..., None])
        order = [*(d for d in range(x.dim()) if d not in self.over), *self.over]
        shape = [x.shape[d] for d in order]
        return (rows.reshape(shape).permute([order.index(d) for d in range(x.dim())]),)

    def _rows(self, x: Tensor) -> Tensor:
        """(*channel-like dimensions, positions)."""
        rest = [d for d in range(x.dim()) if d not in self.over]
        return x.permute(*rest, *self.over).reshape(*(x.shape[d] for d in rest), -1)

    def _axes(self, own: Box) -> Axes:
        """(span, whole size) of each axis, in the order in which positions are counted."""
        found = []
        for d in self.over:
            for axis in self.dims[0][d]:
                span, size = own[axis], self.domain[axis]
                assert span is not None
                assert size is not None
                found.append((span, size))
        return found


@dataclass(frozen=True)
class ExtremePlace(Extremum):
    """The place of the extreme value, of equal ones the first, counted in row-major order; of all channels together
    where all of them are reduced as well. State: the extreme value of each channel, and its place in the plane."""

    @property
    def has_gradient(self) -> bool:
        return False

    @property
    def is_per_pixel(self) -> bool:
        return False

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        rows = self._rows(inputs[0])
        top = rows.amax(-1, keepdim=True) if self.largest else rows.amin(-1, keepdim=True)
        first = (rows == top).to(torch.uint8).argmax(-1)
        return small(top.squeeze(-1)), small(globally(first, self._axes(own)))

    def merge(self, a: State, b: State) -> State:
        best = torch.maximum(a[0], b[0]) if self.largest else torch.minimum(a[0], b[0])
        places = (torch.where(s[0] == best, s[1], torch.inf) for s in (a, b))
        return best, torch.minimum(*places)

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        if not self.also:
            return state[1]
        top, place = (part.flatten() for part in state)
        positions = prod(size for _, size in self._axes(tuple((0, n or 1) for n in self.domain)))
        channel = int(top.argmax() if self.largest else top.argmin())
        return channel * positions + place[channel]


def extremum(largest: bool, *, first: bool = False) -> Make:
    """`first` says that of equal extremes torch gives the gradient to the first, instead of sharing it."""

    def make(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
        if request.part == 1:
            return place(largest)(request, image, also)
        is_first = first or request.target.endswith(".dim")
        return Extremum(**common(request, image), largest=largest, also=also, first=is_first and not also)

    return make


def least_and_most(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
    """aminmax: two results, of which the request asks for one."""
    return Extremum(**common(request, image), largest=request.part == 1, also=also)


def place(largest: bool) -> Make:
    """Where the extreme value lies."""

    def make(request: Request, image: ImageArgument, also: tuple[int, ...]) -> Barrier:
        shape, dims = image.value.shape, image.value.dims
        channels = [n for n, axes in zip(shape, dims, strict=True) if not axes]
        if also and prod(channels[k] for k in also) != prod(channels):
            raise Unsupported("it counts places over some channels and not over others")
        first = next(d for d, axes in enumerate(dims) if axes)
        if also and any(n > 1 and not axes for n, axes in zip(shape[first:], dims[first:], strict=True)):
            raise Unsupported("it counts places over channels that lie behind positions")
        return ExtremePlace(**common(request, image), largest=largest, also=also)

    return make


def extreme_place(largest: bool) -> Builder:
    """aten.argmax(input, dim, keepdim): along channels it is local, along positions a barrier."""
    local = along_channels(1, keepdim_at=2)

    def build(request: Request) -> Built:
        image = request.image()
        along = along_of(request, image, 1)
        if not any(image.value.dims[d] for d in along):
            return local(request)
        return reduced(request, image, along, place(largest))

    return build


VERDICT = "barrier"

OPERATORS: Operators = {
    **{f"aten.{name}.{kind}": Operator(reducing(extremum(largest)))
       for name, largest in (("amax", True), ("amin", False), ("max", True), ("min", False), ("any", True),
                             ("all", False)) for kind in ("dim", "dims", "default")},
    "aten.argmax.default": Operator(extreme_place(True)),
    "aten.argmin.default": Operator(extreme_place(False)),
    "aten.aminmax.default": Operator(reducing(least_and_most, keepdim_at=None)),
}  # fmt: skip
