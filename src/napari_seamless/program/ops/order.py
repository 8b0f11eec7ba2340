"""Order statistics of the whole plane (quantiles, medians, k-th values, percentiles), exactly, by counting digits.

A value's bits, turned so that they sort as integers, are read 16 at a time, the first ones first. One pass counts how
often each first digit occurs, which says in whose bucket the wanted rank lies; the next counts second digits within
that bucket, and so on: two passes for float32, four for float64, each of them a barrier of its own. This is radix
selection. A state holds only the digits that occur."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, prod

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import Barrier, Constants, State
from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.reduce import along_of
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Operator,
    Operators,
    Pending,
    Request,
    Unsupported,
)
from napari_seamless.program.ops.whole_axis import along_one_axis, without_dims
from napari_seamless.program.spans import Box

BITS = 16


RADIX = 1 << BITS


Place = tuple[int, int, float]
"""Two ranks, and the weight of the second."""


KINDS = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int8, torch.int16)


def levels(dtype: torch.dtype) -> int:
    """How many digits a number has, and so how many passes it takes."""
    return 4 if dtype == torch.float64 else 2


@dataclass(frozen=True)
class Digits(Barrier):
    """Digit `level` of the elements with the given ranks (counted from 0), in groups.

    Groups are the channel-like dimensions `kept`, multiplied; everything else is one lot. From the second level on the
    second input is the value of the level before: (2, groups, ranks) float64 of the bits found so far, and of the rank
    among the elements that begin with them. So is its own value, but at the last level: (quantiles, groups) of
    `mixed` = (index of a rank, index of another, weight of the other).

    State: keys of the digits that occur, how often they do, and the second input.
    """

    level: int
    levels: int
    kept: tuple[int, ...]
    ranks: tuple[int, ...]
    mixed: tuple[tuple[int, int, float], ...]

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        x = inputs[0]
        rest = [d for d in range(x.dim()) if d not in self.kept]
        groups = 1
        for d in self.kept:
            groups *= x.shape[d]
        bits = sortable(x.permute(*self.kept, *rest).reshape(groups, -1), self.levels)
        prior = inputs[1] if self.level else self._prior(groups)
        keys = [self._keys(bits, prior[0], slot) for slot in range(self._slots)]
        counts = torch.bincount(torch.cat(keys), minlength=1)
        occurring = counts.nonzero().flatten()
        return occurring.cpu().double(), counts[occurring].cpu().double(), prior.cpu().double()

    @property
    def _slots(self) -> int:
        """At first all ranks share their counts, later each may be in a bucket of its own."""
        return len(self.ranks) if self.level else 1

    def _prior(self, groups: int) -> Tensor:
        ranks = torch.tensor(self.ranks, dtype=torch.float64)
        return torch.stack([torch.zeros_like(ranks), ranks])[:, None].expand(2, groups, len(self.ranks))

    def _keys(self, bits: Tensor, prefixes: Tensor, slot: int) -> Tensor:
        """(group, slot, digit) as one number, of those that begin with the slot's prefix."""
        found = bits >> (BITS * (self.levels - 1 - self.level))
        groups = torch.arange(len(bits), device=bits.device)[:, None].expand_as(bits)
        if not self.level:
            return (groups * RADIX + found + RADIX // 2).flatten()
        prefix = prefixes[:, slot].round().to(bits.device, torch.int64)[:, None]
        inside = (found >> BITS) == prefix
        return (groups[inside] * self._slots + slot) * RADIX + (found[inside] & (RADIX - 1))

    def merge(self, a: State, b: State) -> State:
        keys, where = torch.unique(torch.cat([a[0], b[0]]), return_inverse=True)
        return keys, torch.zeros_like(keys).index_add_(0, where, torch.cat([a[1], b[1]])), a[2]

    def value(self, state: State, constants: Constants) -> Tensor:
        del constants
        prefixes, ranks = state[2]
        found = [
            [self._narrowed(state, group, slot, int(prefixes[group, slot]), int(ranks[group, slot]))
             for slot in range(len(self.ranks))]
            for group in range(len(ranks))
        ]  # fmt: skip
        if self.level < self.levels - 1:
            return torch.tensor(found, dtype=torch.float64).movedim(-1, 0)
        found_values = unsorted(torch.tensor(found, dtype=torch.int64)[..., 0], self.levels).double()
        return torch.stack([mixture(found_values[:, lo], found_values[:, hi], weight) for lo, hi, weight in self.mixed])

    @property
    def has_gradient(self) -> bool:
        return False

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        raise NotImplementedError("order statistics are not trained through")

    def _narrowed(self, state: State, group: int, slot: int, prefix: int, rank: int) -> tuple[int, int]:
        """The bits of one rank with a further digit, and its rank among the elements that share them."""
        first = (group * self._slots + (slot if self.level else 0)) * RADIX
        lo, hi = torch.searchsorted(state[0], torch.tensor([first, first + RADIX], dtype=torch.float64)).tolist()
        reached = state[1][lo:hi].cumsum(0)
        at = int(torch.searchsorted(reached, float(rank), right=True))
        digit = int(state[0][lo + at]) - first
        below = int(reached[at - 1]) if at else 0
        return (prefix * RADIX + digit if self.level else digit - RADIX // 2), rank - below


def mixture(low: Tensor, high: Tensor, weight: float) -> Tensor:
    """Between two values, exactly either at the ends."""
    return low + (high - low) * weight if weight < 0.5 else high - (high - low) * (1 - weight)


def sortable(x: Tensor, digits: int) -> Tensor:
    """Elements as int64 that sort as they do, of 16 bits a digit. Floats: the bits of negative ones are turned over."""
    if digits == 4:
        bits = x.contiguous().view(torch.int64)
        return bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)
    bits = x.float().contiguous().view(torch.int32)
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()


def unsorted(bits: Tensor, digits: int) -> Tensor:
    """The elements of `sortable`."""
    if digits == 4:
        return (bits ^ ((bits >> 63) & 0x7FFFFFFFFFFFFFFF)).view(torch.float64)
    short = bits.int()
    return (short ^ ((short >> 31) & 0x7FFFFFFF)).view(torch.float32)


def quantile(request: Request) -> Built:
    """aten.quantile(input, q, dim, keepdim, *, interpolation), q a number or a constant tensor of them."""
    image, given = request.image(), request.arg(1)
    along = along_of(request, image, 2)
    if isinstance(given, ImageArgument):
        raise Unsupported("its q is computed from the image")
    wanted = given.tensor.flatten().tolist() if isinstance(given, Constant) else [given]
    count = prod(image.value.shape[d] for d in along)
    mode = request.kwargs.get("interpolation", "linear")
    places = [_place(_as_torch_rounds(q, count - 1, image.value.dtype), mode) for q in wanted]
    return _ordered(request, image, along, places)


def _as_torch_rounds(q: float, last: int, dtype: torch.dtype) -> float:
    """torch multiplies in the image's own precision."""
    return float(torch.tensor(q, dtype=dtype) * torch.tensor(last, dtype=dtype))


def _place(position: float, mode: str) -> Place:
    low, high = floor(position), ceil(position)
    match mode:
        case "lower":
            return low, low, 0.0
        case "higher":
            return high, high, 0.0
        case "midpoint":
            return low, high, 0.5
        case "nearest":
            return round(position), round(position), 0.0
    return low, high, position - low


def median(request: Request) -> Built:
    """aten.median(input) and aten.median.dim(input, dim, keepdim): of an even number torch takes the lower one."""
    image = request.image()
    along = along_of(request, image, 1)
    rank = (prod(image.value.shape[d] for d in along) - 1) // 2
    return _ordered(request, image, along, [(rank, rank, 0.0)])


def nan_median(request: Request) -> Built:
    """aten.nanmedian.dim(input, dim, keepdim), along channels or one spatial axis."""
    image = request.image()
    along = along_of(request, image, 1)
    if not any(image.value.dims[d] for d in along):
        return stored(request, without_dims(request, image, along))
    built = along_one_axis(request, along)
    if built is None:
        raise Unsupported("it orders positions that were flattened")
    return built


def kth_value(request: Request) -> Built:
    """aten.kthvalue(input, k, dim, keepdim), k counted from 1."""
    image, rank = request.image(), request.arg(1) - 1
    positions = (image, request.arg(2, -1))
    plain = Request(request.target, positions, {}, request.shape, request.dtype, request.ndim)
    return _ordered(request, image, along_of(plain, image, 1), [(rank, rank, 0.0)])


def percentile(request: Request) -> Built:
    """napari_seamless.percentile(input, percentiles, per channel) -> (percentiles, channels or 1)."""
    image, wanted = request.image(), request.arg(1)
    rank = len(image.value.shape)
    along = [0, *range(2, rank)] if request.arg(2) else list(range(rank))
    last = prod(image.value.shape[d] for d in along) - 1
    return _ordered(request, image, along, [_place(q / 100 * last, "linear") for q in wanted])


def _ordered(request: Request, image: ImageArgument, along: list[int], places: Sequence[Place]) -> Built:
    """One barrier for each digit, one behind the other."""
    value = image.value
    if not any(value.dims[d] for d in along):
        return stored(request, without_dims(request, image, along))
    if any(axes and d not in along and value.shape[d] > 1 for d, axes in enumerate(value.dims)):
        rows = along_one_axis(request, along)
        if rows is None:
            raise Unsupported("it orders along some spatial axes and not along another")
        return rows
    if request.part == 1:
        raise Unsupported("it uses the positions of ordered values, which are not measured")
    if value.dtype not in KINDS:
        raise Unsupported(f"numbers of type {value.dtype} are not ordered over the plane; convert them to float")
    kept = tuple(d for d in range(len(value.shape)) if d not in along)
    ranks = tuple(sorted({r for low, high, _ in places for r in (low, high)}))
    mixed = tuple((ranks.index(low), ranks.index(high), weight) for low, high, weight in places)
    depth = levels(value.dtype)
    middle = (2, prod(value.shape[d] for d in kept), len(ranks))
    inputs: tuple[ImageArgument | Pending, ...] = (image,)
    for level in range(depth):
        is_last = level == depth - 1
        shape, dtype = (request.shape, request.dtype) if is_last else (middle, torch.float64)
        dims = (value.dims,) if not level else (value.dims, ((), (), ()))
        barrier = Digits(dims, value.domain, shape, dtype, level, depth, kept, ranks, mixed)
        built = Built(barrier, inputs, ((),) * len(shape))
        inputs = (image, Pending(built, shape, dtype))
    return built


VERDICT = "barrier"

OPERATORS: Operators = {
    "aten.quantile.default": Operator(quantile),
    "aten.quantile.scalar": Operator(quantile),
    "aten.median.default": Operator(median),
    "aten.median.dim": Operator(median),
    "aten.nanmedian.dim": Operator(nan_median),
    "aten.kthvalue.default": Operator(kth_value),
    "napari_seamless.percentile.default": Operator(percentile),
}
