"""Stored calls along one spatial axis of which every region takes all: sorting rows, their medians, running extremes.

Along the other axes they are local. A region costs as much as its whole rows, so these are for images of which a few
rows fit in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.request import Built, ImageArgument, Request, Unsupported, wrap
from napari_seamless.program.spans import Box, Dims, Span


@dataclass(frozen=True)
class WholeAxis(Local):
    """A stored call whose inputs are whole along `axis`, and whose result keeps it, as dimension `dim`.

    Where `reads` names an input, only that one has to be whole.
    """

    axis: int = 0
    dim: int = 0
    reads: int | None = None

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        usual = super().demand(axis, span)
        if axis != self.axis:
            return usual
        return tuple(
            own if size is None or self.reads not in (None, k) else (0, size)
            for k, (own, size) in enumerate(zip(usual, (d[axis] for d in self.domains), strict=True))
        )

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        result = super().run(inputs, constants, have, want)
        span = want[self.axis]
        if span is None or self.reads is not None:
            return result
        return result.narrow(self.dim, span[0], span[1] - span[0])

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """The whole result, and torch's positions beside it."""
        del have, want
        return 3 * max(sizes)


def along_whole_axis(request: Request, dim: int, *, keeps: bool = True) -> Built:
    """The request along a dimension that is one spatial axis; the result keeps it, or loses `dim` (or has it as 1)."""
    image = request.image()
    axes = image.value.dims[dim]
    if len(axes) != 1:
        raise Unsupported("it works along a dimension into which several spatial axes were flattened")
    if not keeps:
        return stored(request, without_dims(request, image, [dim]))
    built = stored(request, image.value.dims, WholeAxis)
    operation = built.operation
    assert isinstance(operation, WholeAxis)
    return replace(built, operation=replace(operation, axis=axes[0], dim=dim))


def along_one_axis(request: Request, along: Sequence[int]) -> Built | None:
    """The request, which drops the dimensions `along` (or leaves 1), where only one of them is spatial; else None."""
    image = request.image()
    spatial = [d for d in along if image.value.dims[d]]
    if len(spatial) != 1 or len(image.value.dims[spatial[0]]) != 1:
        return None
    return stored(request, without_dims(request, image, along))


def without_dims(request: Request, image: ImageArgument, along: Sequence[int]) -> Dims:
    """The result's dimensions; new ones come first."""
    dims = image.value.dims
    if len(request.shape) < len(dims) or _is_stacked(request, image, along):
        dims = tuple(axes for d, axes in enumerate(dims) if d not in along)
    return ((),) * (len(request.shape) - len(dims)) + dims


def _is_stacked(request: Request, image: ImageArgument, along: Sequence[int]) -> bool:
    """Whether a result of as many dimensions has a new one in front instead of those that have gone."""
    kept = tuple(1 if d in along else n for d, n in enumerate(image.value.shape))
    return len(request.shape) == len(kept) and request.shape != kept


def gathered_along(request: Request) -> Built:
    """aten.gather(input, dim, index) along a spatial axis, by an index that is an image of the input's dimensions."""
    image, index = request.image(), request.arg(2)
    dim = wrap(request.arg(1), len(image.value.shape))
    if not isinstance(index, ImageArgument) or index.value.dims != image.value.dims:
        raise Unsupported("its index has other positions than what it indexes")
    others = [d for d in range(len(image.value.shape)) if d != dim]
    if any(index.value.shape[d] != image.value.shape[d] for d in others):
        raise Unsupported("its index has other positions than what it indexes")
    built = along_whole_axis(request, dim)
    operation = built.operation
    assert isinstance(operation, WholeAxis)
    return replace(built, operation=replace(operation, reads=0))
