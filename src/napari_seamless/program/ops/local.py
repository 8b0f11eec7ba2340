"""Operators for which an output pixel needs just its own pixel of each input.

Pointwise arithmetic (with broadcasting), everything along channels (softmax, argmax, layer norm, linear, sums) and
everything that only renames dimensions (permute, view, expand). They all run as torch's own operator on the local
tensors; only sizes written out in the arguments have to be replaced by the local ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from napari_seamless.program.ops.operation import Operation, narrow, resolve
from napari_seamless.program.spans import Box, Dims, Span, local_shape

Domain = tuple[int | None, ...]


@dataclass(frozen=True)
class Slot:
    """Stands for the i-th tensor input in a stored call."""

    index: int


@dataclass(frozen=True)
class Weight:
    """Stands for a constant in a stored call."""

    name: str


@dataclass(frozen=True)
class LocalShape:
    """Stands for the output's local shape in a stored call (view, expand)."""

    shape: tuple[int, ...]
    dims: Dims


@dataclass(frozen=True)
class Local(Operation):
    """A stored call of one torch operator, run on local tensors.

    `domains` are the inputs' sizes along each spatial axis and `domain` the output's: an input of size 1 is
    broadcast. `part` picks one tensor of an operator that returns several.
    """

    target: str
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    domains: tuple[Domain, ...]
    domain: Domain
    part: int | None = None
    is_view: bool = False

    @property
    def aliases(self) -> bool:
        return self.is_view

    @property
    def constant_names(self) -> tuple[str, ...]:
        return tuple(weights_of(self.args)) + tuple(weights_of(tuple(v for _, v in self.kwargs)))

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        return tuple(self._one(domain[axis], self.domain[axis], span) for domain in self.domains)

    @staticmethod
    def _one(size: int | None, out: int | None, span: Span | None) -> Span | None:
        if size is None:
            return None
        return (0, size) if size != out else span

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del have
        return self.call(resolve(self.target), inputs, constants, want)

    def call(self, function: Any, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Tensor:
        """Call `function` with the stored arguments filled in."""

        args = [_filled(a, inputs, constants, want) for a in self.args]
        kwargs = {k: _filled(v, inputs, constants, want) for k, v in self.kwargs}
        result = function(*args, **kwargs)
        return result if self.part is None else result[self.part]  # type: ignore[no-any-return]

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        if not self.target.startswith(("aten.linear.", "aten.matmul.", "aten.mm.", "aten.addmm.")):
            return 0
        count = shapes[0][-1]
        for size in out:
            count *= size
        return count


def _filled(item: Any, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Any:
    """A stored argument with everything that stands for something in its place."""
    match item:
        case Slot(index):
            return inputs[index]
        case Weight(name):
            return constants[name]
        case LocalShape(shape, dims):
            return local_shape(shape, dims, want)
        case tuple():
            return [_filled(i, inputs, constants, want) for i in item]
    return item


def weights_of(items: tuple[Any, ...]) -> list[str]:
    """The names of all constants in stored arguments."""
    names: list[str] = []
    for item in items:
        if isinstance(item, Weight):
            names.append(item.name)
        elif isinstance(item, tuple):
            names.extend(weights_of(item))
    return names


@dataclass(frozen=True)
class ConstantImage(Operation):
    """A constant as large as the image (coordinates, position codes): each region takes its own piece of it.

    `dims` are its dimensions, `domain` its size along each spatial axis.
    """

    name: str
    dims: Dims
    domain: Domain

    @property
    def aliases(self) -> bool:
        return True

    @property
    def constant_names(self) -> tuple[str, ...]:
        return (self.name,)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        del axis, span
        return ()

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del inputs, have
        whole: Box = tuple((0, n) if n is not None else None for n in self.domain)
        return narrow(constants[self.name], self.dims, whole, want)
