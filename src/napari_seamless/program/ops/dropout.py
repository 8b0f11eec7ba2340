"""Dropout whose draws depend on where a number is, not on when it is computed.

A tile is computed twice (forwards, and again on the way back), and neighbouring tiles share their halos, so a random
stream would drop other elements each time. Here element i of a layer, counted in the whole tensor, is kept if

    mix(key + (i + 1) * G) < (1 - p) * 2^63        key = mix of (seed, step, layer)

with mix the finaliser of SplitMix64 and G its increment (Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195), so
that the draws of a layer are one SplitMix64 stream read at given places. It is not torch's own stream: masks differ
from those of plain torch, while their distribution is the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import (
    Operation,
)
from napari_seamless.program.ops.pointwise import copy_of
from napari_seamless.program.ops.request import (
    Built,
    Operator,
    Operators,
    Request,
    Unsupported,
)
from napari_seamless.program.spans import Box, Dims, Span

GOLDEN = 0x9E3779B97F4A7C15


FACTORS = (0xBF58476D1CE4E5B9, 0x94D049BB133111EB)


BITS = (1 << 64) - 1


ROWS = 1 << 16
"""Elements that are drawn in one go, so that their 64 bits take little memory beside the tensor."""


DRAWS = frozenset({"aten.bernoulli.p", "aten.bernoulli.default", "aten.rand.default"})
"""Operators whose draws for tensors without positions are known here."""


@dataclass(frozen=True)
class Dropout(Operation):
    """x, or 0 with probability `p`, over 1 - p. `shape` and `dims` are the whole tensor's; `key` names a constant."""

    p: float
    key: str
    shape: tuple[int, ...]
    dims: Dims
    domain: tuple[int | None, ...]

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.key,)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis
        return (span,)

    def border(self, axis: int, span: Span | None) -> None:
        del axis, span

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        x = inputs[0]
        if self.p >= 1:
            return x * 0
        kept = chances(self._places(x, want), constants[self.key]) < min(int((1 - self.p) * 2**63), 2**63 - 1)
        return x * kept * (1 / (1 - self.p))

    def _places(self, x: Tensor, want: Box) -> list[Tensor]:
        """For each dimension, the part of the place in the whole tensor that it contributes."""
        places, step = [], 1
        for d in reversed(range(x.dim())):
            places.append(_along(self.dims[d], self.domain, want, self.shape[d], x.device) * step)
            step *= self.shape[d]
        return places[::-1]

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return sizes[0] + sizes[0] // 4


def _along(axes: tuple[int, ...], domain: tuple[int | None, ...], want: Box, size: int, device: torch.device) -> Tensor:
    """The positions along one dimension, (n,) int64; of several axes in row-major order of the whole."""
    if not axes:
        return torch.arange(size, device=device)
    found = torch.zeros(1, dtype=torch.int64, device=device)
    for axis in axes:
        span, whole = want[axis], domain[axis]
        assert span is not None
        assert whole is not None
        found = (found[:, None] * whole + torch.arange(*span, device=device)).flatten()
    return found


def chances(places: Sequence[Tensor], key: Tensor) -> Tensor:
    """A number in [0, 2^63) for each combination of the given parts of places."""
    rest = torch.zeros((), dtype=torch.int64, device=key.device)
    for part in places[1:]:
        rest = rest[..., None] + part
    step = max(1, ROWS // max(1, rest.numel()))
    lead = places[0]
    parts = [_chance(lead[k : k + step].reshape(-1, *(1,) * rest.dim()) + rest, key) for k in range(0, len(lead), step)]
    return torch.cat(parts)


def _chance(place: Tensor, key: Tensor) -> Tensor:
    return mixed((place + 1) * signed(GOLDEN) + key) & (2**63 - 1)


def mixed(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, of int64 taken for 64 bits."""
    x = (x ^ _shifted(x, 30)) * signed(FACTORS[0])
    x = (x ^ _shifted(x, 27)) * signed(FACTORS[1])
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, by: int) -> Tensor:
    """To the right, zeros coming in."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def signed(bits: int) -> int:
    """64 bits as int64 has them."""
    return bits - (1 << 64) if bits >= 1 << 63 else bits


def key_of(seed: int, step: int, layer: int) -> Tensor:
    """The key of one layer in one step: the three integers stirred in one after the other."""
    key = torch.tensor(signed(seed & BITS))
    for number in (step, layer):
        key = mixed(key + signed((number + 1) * GOLDEN & BITS))
    return key


def drawn(target: str, args: Sequence[Any], key: Tensor) -> Tensor:
    """What one of DRAWS gives, for a tensor without positions."""
    if target == "aten.rand.default":
        return _uniform(list(args[0]), key).to(torch.get_default_dtype())
    uniform = _uniform(list(args[0].shape), key)
    like: Tensor = args[0]
    chance = like.cpu().double() if target == "aten.bernoulli.default" else args[1]
    return (uniform < chance).to(like.dtype).to(like.device)


def _uniform(shape: list[int], key: Tensor) -> Tensor:
    """[0, 1), float64."""
    places = [torch.arange(torch.Size(shape).numel())]
    return ((chances(places, key) >> 10).double() / 2**53).reshape(shape)


def native_dropout(request: Request) -> Built:
    """aten.native_dropout(input, p, train), traced in training mode: the layer's number comes as its `layer`."""
    image, p = request.image(), float(request.arg(1))
    if request.part not in (None, 0):
        raise Unsupported("the mask that a dropout drew is not available")
    if not request.arg(2, True) or p == 0:
        return copy_of(image, request)
    key = f"random key {request.layer}"
    operation = Dropout(p, key, image.value.shape, image.value.dims, image.value.domain)
    return Built(operation, (image,), image.value.dims, image.value.domain)


OPERATORS: Operators = {"aten.native_dropout.default": Operator(native_dropout, repeats_draws=True)}
