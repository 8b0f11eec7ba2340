"""Operators along channels: argmax, products and running sums over them, picking them, writing into a slice of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    Constant,
    Operator,
    Operators,
    Request,
    Unsupported,
    require_channels,
    wrap,
)


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
        require_channels(image.value, along, "reduces")
        dims = list(image.value.dims)
        keep = request.kwargs.get("keepdim", request.arg(keepdim_at, False) if keepdim_at is not None else True)
        if not keep:
            dims = [axes for d, axes in enumerate(dims) if d not in along]
        return stored(request, tuple(dims))

    return build


def channel_index(request: Request) -> Built:
    """Picking channels by a constant list of numbers."""
    image, index = request.image(), request.arg(1)
    if not all(i is None or isinstance(i, Constant) for i in index):
        raise Unsupported("its index is computed from the image")
    used = [d for d, i in enumerate(index) if i is not None]
    if len(used) != 1 or index[used[0]].tensor.dim() != 1 or index[used[0]].tensor.dtype == torch.bool:
        raise Unsupported("it gathers pixels by a table")
    require_channels(image.value, used, "gathers")
    return stored(request, image.value.dims, ChannelIndex)


def channel_scatter(request: Request) -> Built:
    """Writing into a slice of the channels."""
    image = request.image()
    require_channels(image.value, [wrap(request.arg(2, 0), len(image.value.shape))], "writes into a slice")
    return stored(request, image.value.dims)


OPERATORS: Operators = {
    "aten.cumsum.default": Operator(along_channels(1)),
    "aten.argmax.default": Operator(along_channels(1, keepdim_at=2)),
    "aten.argmin.default": Operator(along_channels(1, keepdim_at=2)),
    "aten.prod.dim_int": Operator(along_channels(1, keepdim_at=2)),
    "aten.index.Tensor": Operator(channel_index),
    "aten.slice_scatter.default": Operator(channel_scatter),
    "aten.select_scatter.default": Operator(channel_scatter),
}
