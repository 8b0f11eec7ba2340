"""Stored calls: operators for which an output pixel needs just its own pixel of each input.

They run as torch's own operator on the local tensors; only sizes written out in the arguments have to be replaced by
the local ones. The families (pointwise, channelwise, layout, ...) build them, and state what is special about theirs
in a class of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import (
    LowPrecision,
    Memory,
    Operation,
    resolve,
)
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Request,
)
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

    @property
    def packet(self) -> str:
        """torch's name without namespace and overload: "relu" of "aten.relu.default"."""
        return self.target.split(".")[1]

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

    def in_dtype(self, dtype: torch.dtype, name_of: Callable[[str], str]) -> Operation:
        del dtype
        kwargs = tuple((key, _renamed(item, name_of)) for key, item in self.kwargs)
        return replace(self, args=_renamed(self.args, name_of), kwargs=kwargs)


@dataclass(frozen=True)
class View(Local):
    """A stored call that only renames or selects what is there, in the memory of its input."""

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"


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


def _renamed(item: Any, name_of: Callable[[str], str]) -> Any:
    """A stored argument with other names in the place of its constants'."""
    match item:
        case Weight(name):
            return Weight(name_of(name))
        case tuple():
            return tuple(_renamed(one, name_of) for one in item)
    return item


def stored(request: Request, dims: Dims, kind: type[Local] = Local, *, args: tuple[Any, ...] | None = None) -> Built:
    """The request as a stored call of a `kind` with output dimensions `dims`; `args` replace its own."""
    images: list[ImageArgument] = []

    def pack(item: Any) -> Any:
        if isinstance(item, ImageArgument):
            images.append(item)
            return Slot(len(images) - 1)
        if isinstance(item, Constant):
            return Weight(item.name)
        return tuple(pack(i) for i in item) if isinstance(item, tuple | list) else item

    packed = tuple(pack(a) for a in (request.args if args is None else args))
    kwargs = tuple((k, pack(v)) for k, v in request.kwargs.items())
    domain = _domain(request, dims, images)
    domains = tuple(i.value.domain for i in images)
    operation = kind(request.target, packed, kwargs, domains, domain, request.part)
    return Built(operation, tuple(images), dims, domain)


def _domain(request: Request, dims: Dims, images: list[ImageArgument]) -> tuple[int | None, ...]:
    """Sizes along each spatial axis: the output's own where a dimension is one axis, else the (equal) inputs'."""
    sizes: list[int | None] = [None] * request.ndim
    for size, axes in zip(request.shape, dims, strict=True):
        for axis in axes:
            known = [i.value.domain[axis] for i in images if i.value.domain[axis] is not None]
            sizes[axis] = size if len(axes) == 1 else max(n for n in known if n is not None)
    return tuple(sizes)
