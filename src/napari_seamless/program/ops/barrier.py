"""Barriers: operators that look at the whole plane, taken apart so that tiles can contribute one by one.

A barrier is measured in a pass of its own: each tile reduces its own pixels to a small *state* (`partial`), states are
merged (`merge`), and the last one becomes the operator's value (`finish`). Everything between is float64 on the CPU:
a tile's sums are taken on its device in its own dtype, of values shifted to be near zero, in short runs. On the way
back, when a network is trained, a gradient of the merged state is a gradient of each tile's own pixels (`pull`)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import (
    Operation,
)
from napari_seamless.program.spans import Box, Dims, Span

State = tuple[Tensor, ...]


Constants = Mapping[str, Tensor]


@dataclass(frozen=True)
class Barrier(Operation):
    """`dims` are the dimensions of each input, all on one grid of size `domain`; `shape` and `dtype` the value's.

    Further inputs may lack positions altogether: values known by then, which every tile has whole.
    """

    dims: tuple[Dims, ...]
    domain: tuple[int | None, ...]
    shape: tuple[int, ...]
    dtype: torch.dtype

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del span
        size = self.domain[axis]
        whole = (0, size) if size is not None else None
        return tuple(whole if any(axis in axes for axes in dims) else None for dims in self.dims)

    @abstractmethod
    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        """What the pixels of `own`, which the inputs hold exactly, contribute. Small float64 tensors on the CPU."""

    @abstractmethod
    def merge(self, a: State, b: State) -> State:
        """The state of the pixels of both."""

    @abstractmethod
    def value(self, state: State, constants: Constants) -> Tensor:
        """The operator's value, float64 on the CPU, any shape of the right size."""

    @property
    def has_gradient(self) -> bool:
        """Whether `pull` can be called."""
        return self.dtype.is_floating_point

    @property
    def is_per_pixel(self) -> bool:
        """Whether it looks at pixels one by one, so that a mask can leave some of them out."""
        return True

    @property
    def keeps_positions(self) -> bool:
        """Whether its value has positions, of which every region takes its own part."""
        return False

    def with_gradients(self) -> Barrier:
        """The barrier to use where gradients will be taken; its state may hold more."""
        return self

    @abstractmethod
    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        """The gradient of each input's pixels in `own`; None where there is none.

        `state` is that of the whole plane and `cotangent` its gradient, part by part; inputs are as for `partial`.
        """

    def finish(self, state: State, constants: Constants) -> Tensor:
        """The operator's value, on the CPU."""
        value = self.value(state, constants).reshape(self.shape)
        is_number = self.dtype.is_floating_point or self.dtype == torch.bool
        return (value if is_number else value.round()).to(self.dtype)

    def run(self, inputs: Sequence[Tensor], constants: Constants, have: Sequence[Box], want: Box) -> Tensor:
        del want
        return self.finish(self.partial(inputs, have[0]), constants).to(inputs[0].device)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return sum(sizes)

    @property
    def over(self) -> tuple[int, ...]:
        """The first input's dimensions that positions lie along; they are always reduced."""
        return tuple(d for d, axes in enumerate(self.dims[0]) if axes)


@dataclass(frozen=True)
class Summed(Barrier):
    """A barrier whose state is one part that adds up over tiles; by default it is the value."""

    def merge(self, a: State, b: State) -> State:
        return (a[0] + b[0],)

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        return state[0]


def beside(part: Tensor, x: Tensor, over: Sequence[int]) -> Tensor:
    """A state's part (channel-like dimensions of x, in order) as it is broadcast against x."""
    shape = [1 if d in over else n for d, n in enumerate(x.shape)]
    return part.to(x.dtype).to(x.device).reshape(shape)


def small(tensor: Tensor) -> Tensor:
    """A state's part where states live (some accelerators have no float64)."""
    return tensor.cpu().double()
