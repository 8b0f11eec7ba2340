"""One traced node, as the builders of operations see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.spans import Dims
from napari_seamless.program.value import Value


class Unsupported(Exception):
    """Raised by a builder: this use of an operator cannot be computed tile by tile. The text is the reason."""


class Unplaced(Unsupported):
    """One position is stretched, and it is not clear over which axes. Where it is broadcast anyway, nobody asks."""


@dataclass(frozen=True)
class ImageArgument:
    """An argument that depends on the image: value `index` of the program.

    `is_settled` says that it follows from barriers alone, so that every tile will have it whole. `operation` makes it,
    where that is known.
    """

    index: int
    value: Value
    is_settled: bool = False
    operation: Operation | None = None


@dataclass(frozen=True)
class Constant:
    """An argument that depends on weights alone."""

    name: str
    tensor: Tensor


@dataclass(frozen=True)
class Request:
    """An operator with its arguments; tensors among them are ImageArgument or Constant. `shape` is the output's.

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
    def items(self) -> list[Any]:
        """All arguments, those in lists one by one."""
        return list(flatten((self.args, tuple(self.kwargs.values()))))

    @property
    def images(self) -> list[ImageArgument]:
        return [i for i in self.items if isinstance(i, ImageArgument)]


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


Builder = Callable[[Request], Built]
"""Makes the operation for a request. Raises Unsupported with the reason where this use cannot be tiled."""


@dataclass(frozen=True)
class Operator:
    """One of torch's operators, as a family of operations states it in its table.

    `build` makes the operation. All else is for special ones:

    - `constant_dims` says which dimensions of a request's output are spatial, where constants among its arguments may
      have positions (coordinates, position codes), of which every region takes its own part. None where they may not.
    - `broadcasts`: it stretches arguments of fewer dimensions, or of size 1, by itself.
    - `is_view`: of a constant it makes a view, which takes no memory.
    - `fill`: the one number of which the result is full, whatever the image. It becomes a constant.
    - `momentum_at`: where the momentum stands among the arguments of a normalisation that stores statistics in its
      arguments 3 and 4 while it is trained.
    - `repeats_draws`: it draws random numbers, and in such a way that a tile draws them again the same.
    """

    build: Builder
    constant_dims: Callable[[Request], Dims | None] | None = None
    broadcasts: bool = False
    is_view: bool = False
    fill: Callable[[Request], float] | None = None
    momentum_at: int | None = None
    repeats_draws: bool = False


Operators = dict[str, Operator]
"""By torch's name."""


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


def spatial_axes(image: ImageArgument, count: int) -> list[int | None]:
    """The spatial axes of the last `count` dimensions; None for channel-like ones."""
    rank = len(image.value.shape)
    return [spatial_axis(image.value, d) for d in range(rank - count, rank)]


def all_spatial_axes(image: ImageArgument, count: int, what: str) -> list[int]:
    """The same, refused unless all of them are spatial."""
    axes = spatial_axes(image, count)
    if any(a is None for a in axes):
        raise Unsupported(f"it {what} along a dimension that is not spatial")
    return [a for a in axes if a is not None]


def each(given: Any, count: int) -> list[int]:
    """torch's "one number or one for each dimension"."""
    numbers = [given] if isinstance(given, int) else list(given)
    return numbers * count if len(numbers) == 1 else numbers
