"""Operators along channels: products, running sums and orders over them, picking and placing them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_seamless.program.ops.index import Listed, copy_along
from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    Constant,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
    require_channels,
    wrap,
)
from napari_seamless.program.ops.whole_axis import along_whole_axis, gathered_along


@dataclass(frozen=True)
class ChannelIndex(Local):
    """A stored call that picks channels."""

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"


def along_channels(*positions: int, keepdim_at: int | None = None) -> Builder:
    """Operators along the dimension(s) in argument `positions[0]`; `keepdim_at` for those that drop them."""

    def build(request: Request) -> Built:
        image = request.image()
        rank = len(image.value.shape)
        given = request.kwargs.get("dim", request.arg(positions[0], None))
        chosen = list(range(rank)) if given is None or given == [] else given
        along = [wrap(d, rank) for d in (chosen if isinstance(chosen, list | tuple) else [chosen])]
        keep = len(request.shape) == rank
        if len(along) == 1 and image.value.dims[along[0]]:
            return along_whole_axis(request, along[0], keeps=keepdim_at is None)
        require_channels(image.value, along, "reduces")
        dims = list(image.value.dims)
        if not keep:
            dims = [axes for d, axes in enumerate(dims) if d not in along]
        return stored(request, tuple(dims))

    return build


def channel_index(request: Request) -> Built:
    """Picking channels, or rows and columns, by constant lists of numbers."""
    image, index = request.image(), request.arg(1)
    if not all(i is None or isinstance(i, Constant) for i in index):
        raise Unsupported("its index is computed from the image")
    used = [d for d, i in enumerate(index) if i is not None]
    if _is_grid(image, index, used):
        return listed(image, [(d, index[d].tensor.flatten()) for d in used])
    if len(used) != 1 or index[used[0]].tensor.dim() != 1 or index[used[0]].tensor.dtype == torch.bool:
        raise Unsupported("it gathers pixels by a table")
    if image.value.dims[used[0]]:
        return listed(image, [(used[0], index[used[0]].tensor)])
    return stored(request, image.value.dims, ChannelIndex)


def _is_grid(image: ImageArgument, index: Sequence[Constant | None], used: Sequence[int]) -> bool:
    """Whether each of several spatial axes has a list of its own, as in x[:, :, rows[:, None], columns]."""
    if len(used) < 2 or any(not image.value.dims[d] for d in used) or used[-1] - used[0] != len(used) - 1:
        return False
    shapes = [one.tensor.shape for one in index if one is not None and one.tensor.dtype != torch.bool]
    return len(shapes) == len(used) and all(
        len(shape) <= len(used) and shape[0] == shape.numel() and len(shape) == len(used) - k
        for k, shape in enumerate(shapes)
    )


def listed(image: ImageArgument, lists: Sequence[tuple[int, Tensor]]) -> Built:
    """Positions along spatial axes, by a constant list of their numbers for each."""
    sizes = image.value.shape
    return copy_along(image, [(d, Listed(sizes[d], tuple(n % sizes[d] for n in where.tolist()))) for d, where in lists])


def ordering(dim_at: int, default: int | None = None, *, keepdim_at: int | None = None) -> Builder:
    """Operators along one dimension, for which there is a default."""
    build = along_channels(dim_at, keepdim_at=keepdim_at)

    def with_default(request: Request) -> Built:
        if "dim" in request.kwargs or len(request.args) > dim_at or default is None:
            return build(request)
        return _with_dims(build(replace(request, kwargs={**request.kwargs, "dim": default})), request)

    return with_default


def _with_dims(built: Built, request: Request) -> Built:
    """The stored call as torch was asked for it, without the default filled in."""
    operation = built.operation
    assert isinstance(operation, Local)
    return replace(built, operation=replace(operation, kwargs=tuple(request.kwargs.items())))


def pick(request: Request) -> Built:
    """aten.index_select(input, dim, index) and the like, whose index is a constant list."""
    image, dim = request.image(), wrap(request.arg(1), len(request.image().value.shape))
    request.constant(2, "index")
    if request.target == "aten.index_select.default" and image.value.dims[dim]:
        return listed(image, [(dim, request.arg(2).tensor)])
    require_channels(image.value, [dim], "picks")
    _require_alike(request)
    return stored(request, image.value.dims, ChannelIndex)


def gather(request: Request) -> Built:
    """aten.gather(input, dim, index): at each position other channels; the index is an image too."""
    image, index = request.image(), request.arg(2)
    dim = wrap(request.arg(1), len(image.value.shape))
    if image.value.dims[dim]:
        return gathered_along(request)
    _require_one_grid(request)
    if not isinstance(index, ImageArgument):
        raise Unsupported("its index is a constant as large as the image")
    return stored(request, image.value.dims, ChannelIndex)


def scatter(request: Request) -> Built:
    """aten.scatter(input, dim, index, value or source): at each position other channels are written."""
    images = request.images
    dims = images[0].value.dims
    if not isinstance(request.arg(0), ImageArgument) or not isinstance(request.arg(2), ImageArgument):
        raise Unsupported("it scatters a constant as large as the image")
    require_channels(images[0].value, [wrap(request.arg(1), len(dims))], "scatters")
    _require_one_grid(request)
    if isinstance(request.arg(3), Constant) and request.arg(3).tensor.dim():
        raise Unsupported("it scatters a constant as large as the image")
    return stored(request, dims, ChannelIndex)


def _require_alike(request: Request) -> None:
    """What is placed lies as the input does, or is one number."""
    dims = request.image().value.dims
    for image in request.images[1:]:
        if image.value.dims != dims:
            raise Unsupported("it places what lies on other positions")
    if any(isinstance(a, Constant) and a.tensor.dim() > 1 for a in request.args):
        raise Unsupported("it places a constant as large as the image")


def _require_one_grid(request: Request) -> None:
    """torch lets an index be smaller than what it indexes; then positions are left out."""
    first, *others = (i.value for i in request.images)
    if any(o.dims != first.dims or o.domain != first.domain for o in others):
        raise Unsupported("its index has other positions than what it indexes")


def table_lookup(request: Request) -> Built:
    """aten.embedding(table, indices): a new last dimension, of channels."""
    indices = request.arg(1)
    if not isinstance(request.arg(0), Constant) or not isinstance(indices, ImageArgument):
        raise Unsupported("its table is computed from the image")
    return stored(request, (*indices.value.dims, ()))


def one_hot(request: Request) -> Built:
    """aten.one_hot(input, classes): a new last dimension, of channels."""
    if request.arg(1, -1) < 0:
        raise Unsupported("how many classes it has depends on the image; give it their number")
    return stored(request, (*request.image().value.dims, ()))


def shuffle(request: Request) -> Built:
    """aten.native_channel_shuffle(input, groups)."""
    require_channels(request.image().value, [1], "shuffles")
    return stored(request, request.image().value.dims, ChannelIndex)


def cross(request: Request) -> Built:
    """aten.linalg_cross(input, other, *, dim), between channels."""
    _require_one_grid(request)
    if len(request.images) < 2:
        raise Unsupported("one of its factors is a constant")
    return ordering(2, -1)(request)


VERDICT = "channel-wise"

OPERATORS: Operators = {
    **{f"aten.{name}.default": Operator(along_channels(1)) for name in ("cumprod", "cummax", "cummin", "logcumsumexp")},
    **{
        f"aten.{name}.{kind}": Operator(ordering(1, -1))
        for name in ("sort", "argsort")
        for kind in ("default", "stable")
    },
    "aten.topk.default": Operator(ordering(2, -1)),
    "aten.mode.default": Operator(ordering(1, -1, keepdim_at=2)),
    **{f"aten.{name}.default": Operator(pick) for name in ("index_select", "index_add", "index_copy")},
    **{f"aten.index_fill.int_{kind}": Operator(pick) for kind in ("Scalar", "Tensor")},
    "aten.gather.default": Operator(gather),
    **{f"aten.scatter.{kind}": Operator(scatter) for kind in ("value", "src")},
    "aten.scatter_add.default": Operator(scatter),
    **{f"aten.scatter.{kind}_reduce": Operator(scatter) for kind in ("value", "src")},
    "aten.scatter_reduce.two": Operator(scatter),
    "aten.embedding.default": Operator(table_lookup),
    "aten.one_hot.default": Operator(one_hot),
    "aten.linalg_cross.default": Operator(cross),
    "aten.native_channel_shuffle.default": Operator(shuffle),
    "aten.prod.dim_int": Operator(along_channels(1, keepdim_at=2)),
    "aten.index.Tensor": Operator(channel_index),
    "aten._unsafe_index.Tensor": Operator(channel_index),
}
