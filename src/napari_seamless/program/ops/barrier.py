"""Barriers: operators that look at the whole plane, taken apart so that tiles can contribute one by one.

A barrier is measured in a pass of its own: each tile reduces its own pixels to a small *state* (`partial`), states are
merged (`merge`), and the last one becomes the operator's value (`finish`). Everything between is float64 on the CPU:
a tile's sums are taken on its device in its own dtype, of values shifted to be near zero, in short runs. On the way
back, when a network learns, a gradient of the merged state is a gradient of each tile's own pixels (`pull`).

Merging follows Chan, Golub and LeVeque (1983, "Algorithms for computing the sample variance"): count, mean and M2, the
sum of squared differences from the mean. The difference of the mean square and the squared mean would lose everything
where the mean is far from zero.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.spans import Box, Dims, Span

State = tuple[Tensor, ...]
Constants = Mapping[str, Tensor]
BLOCK, RUN = 1 << 18, 128
"""Numbers that are looked at in one go on a CPU, what its cache holds, and those summed in their own dtype: few enough
for float32 to sum them well."""
LONG_RUN = 1024
"""Positions that a matrix product sums over in its own dtype."""


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

    def learning(self) -> Barrier:
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


def beside(part: Tensor, x: Tensor, over: Sequence[int]) -> Tensor:
    """A state's part (channel-like dimensions of x, in order) as it is broadcast against x."""
    shape = [1 if d in over else n for d, n in enumerate(x.shape)]
    return part.to(x.dtype).to(x.device).reshape(shape)


def small(tensor: Tensor) -> Tensor:
    """A state's part where states live (some accelerators have no float64)."""
    return tensor.cpu().double()


@dataclass(frozen=True)
class MomentsBarrier(Barrier):
    """State: count (), mean and M2 (channel-like dimensions, in order)."""

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


@dataclass(frozen=True)
class Mean(MomentsBarrier):
    """Mean over the plane, and over the channel-like dimensions `also` (numbered among channel-like ones)."""

    also: tuple[int, ...] = ()

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        return pooled(state, self.also)[1]


@dataclass(frozen=True)
class Total(Mean):
    """Sum over the plane."""

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, mean, _ = pooled(state, self.also)
        return count * mean


@dataclass(frozen=True)
class Variance(Mean):
    """Variance with `correction`, or its root."""

    correction: float = 1.0
    root: bool = False

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, _, m2 = pooled(state, self.also)
        variance = m2 / (count - self.correction).clamp_min(0)
        return variance.sqrt() if self.root else variance


@dataclass(frozen=True)
class Length(Mean):
    """Euclidean norm over the plane."""

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        count, mean, m2 = pooled(state, self.also)
        squares = m2 + count * mean.square()
        return torch.where(squares > 0, torch.where(squares > 0, squares, 1.0).sqrt(), 0.0)


@dataclass(frozen=True)
class ScaleShift(MomentsBarrier):
    """What a normalisation over the plane does to each channel: (3, c) of centre, scale and shift.

    The centre is subtracted first: where the plane hardly varies, x * scale and its counterpart would be large and
    cancel. It is rounded to the value's dtype, and the shift makes up for that.

    Channels are normalised in `groups` of equal size, with `eps` added to the (biased) variance; `weight` and `bias`
    name constants of one number a channel.
    """

    groups: int = 1
    eps: float = 1e-5
    weight: str | None = None
    bias: str | None = None

    @property
    def constant_names(self) -> tuple[str, ...]:
        return tuple(name for name in (self.weight, self.bias) if name is not None)

    def value(self, state: State, constants: Constants) -> Tensor:
        count, mean, m2 = state
        grouped = count, mean.reshape(self.groups, -1), m2.reshape(self.groups, -1)
        number, centre, spread = pooled(grouped, (1,))
        scale = (spread / number + self.eps).rsqrt().expand_as(grouped[1]).reshape(-1)
        if self.weight is not None:
            scale = scale * small(constants[self.weight])
        exact = centre.expand_as(grouped[1]).reshape(-1)
        rounded = exact.to(self.dtype).double()
        shift = (rounded - exact) * scale
        return torch.stack([rounded, scale, shift if self.bias is None else shift + small(constants[self.bias])])


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
class Contraction(Barrier):
    """A matrix product that sums over positions: (..., a, positions) @ (..., positions, b), as in Gram matrices."""

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        left, right = inputs
        length = left.shape[-1]
        cut = length // LONG_RUN * LONG_RUN
        total = small(left[..., cut:] @ right[..., cut:, :])
        if cut:
            runs = left[..., :cut].reshape(*left.shape[:-1], -1, LONG_RUN).movedim(-2, 0)
            others = right[..., :cut, :].reshape(*right.shape[:-2], -1, LONG_RUN, right.shape[-1]).movedim(-3, 0)
            total += small(runs @ others).sum(0)
        return (total,)

    def merge(self, a: State, b: State) -> State:
        return (a[0] + b[0],)

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        return state[0]

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        del own, state
        left, right = inputs
        given = cotangent[0].to(left.dtype).to(left.device)
        return given @ right.transpose(-1, -2), left.transpose(-1, -2) @ given
