"""One traced node, as the builders of operations see it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.graph import Value
from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.spans import Dims


class Unsupported(Exception):
    """Raised by a builder: this use of an operator cannot be computed tile by tile. The text is the reason."""


class Unplaced(Unsupported):
    """One position is stretched, and it is not clear over which axes. Where it is broadcast anyway, nobody asks."""


@dataclass(frozen=True)
class ImageArgument:
    """An argument that depends on the image: value `index` of the program.

    `is_settled` says that it follows from barriers alone, so that every tile will have it whole.
    """

    index: int
    value: Value
    is_settled: bool = False


@dataclass(frozen=True)
class Constant:
    """An argument that depends on weights alone."""

    name: str
    tensor: Tensor


@dataclass(frozen=True)
class Request:
    """An operator with its arguments; tensors among them are Image or Constant. `shape` is the output's true shape.

    `layer` counts the random draws of a program, where it is traced for training.
    """

    target: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    shape: tuple[int, ...]
    dtype: torch.dtype
    ndim: int
    part: int | None = None
    layer: int | None = None

    def arg(self, position: int, default: Any = None) -> Any:
        return self.args[position] if position < len(self.args) else default

    def image(self, position: int = 0) -> ImageArgument:
        """The argument at `position`, which must depend on the image."""
        found = self.arg(position)
        if not isinstance(found, ImageArgument):
            raise Unsupported(f"its argument {position} does not depend on the image, and that use is not known here")
        return found

    def constant(self, position: int, what: str) -> str | None:
        """The name of the constant at `position`, or None where torch was given None."""
        found = self.arg(position)
        if found is None:
            return None
        if not isinstance(found, Constant):
            raise Unsupported(f"its {what} is computed from the image, so it differs from region to region")
        return found.name

    @property
    def images(self) -> list[ImageArgument]:
        return [i for i in flatten((self.args, tuple(self.kwargs.values()))) if isinstance(i, ImageArgument)]


@dataclass(frozen=True)
class Built:
    """A builder's answer: the operation, the values it reads, and which output dimensions are spatial.

    `sizes` gives the output's domain where it cannot be read off its shape (flattened dimensions).
    """

    operation: Operation
    inputs: tuple[ImageArgument | Pending, ...]
    dims: Dims
    sizes: tuple[int | None, ...] | None = None

    def domain(self, shape: tuple[int, ...], ndim: int) -> tuple[int | None, ...]:
        if self.sizes is not None:
            return self.sizes
        domain: list[int | None] = [None] * ndim
        for size, axes in zip(shape, self.dims, strict=True):
            for axis in axes:
                domain[axis] = size
        return tuple(domain)


@dataclass(frozen=True)
class Pending:
    """A value that has to be made first, with its true shape: the barrier of a normalisation."""

    built: Built
    shape: tuple[int, ...]
    dtype: torch.dtype


def flatten(items: Any) -> Iterator[Any]:
    """All leaves of nested tuples and lists."""
    if isinstance(items, tuple | list):
        for item in items:
            yield from flatten(item)
    else:
        yield items


def wrap(dim: int, rank: int) -> int:
    """A dimension counted from the front."""
    return dim + rank if dim < 0 else dim


def spatial_axis(value: Value, dim: int) -> int | None:
    """The one spatial axis of a dimension, None for a channel-like one."""
    axes = value.dims[dim]
    if len(axes) > 1:
        raise Unsupported("it works along a dimension into which several spatial axes were flattened")
    return axes[0] if axes else None


def require_channels(value: Value, dims: list[int], what: str) -> None:
    """Refuse unless all of `dims` are channel-like."""
    if any(value.dims[d] for d in dims):
        raise Unsupported(f"it {what} over the whole plane, so every region needs the whole image")
