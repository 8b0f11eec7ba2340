"""The order of axes that a bioimage.io network wants and gives, against ours: batch, channel, (z,) y, x."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError

SPACE = ("z", "y", "x")


class Reordered(nn.Module):
    """`network`, that wants and gives axes in other orders, or without batch or channel."""

    def __init__(self, network: nn.Module, wants: Sequence[str], gives: Sequence[str]) -> None:
        super().__init__()
        self.network, self.wants, self.gives = network, tuple(wants), tuple(gives)

    @staticmethod
    def where_needed(network: nn.Module, wants: Sequence[str], gives: Sequence[str]) -> nn.Module:
        """The network itself where its orders are ours. Raises ModelError for axes that we have no place for."""
        for axes in (wants, gives):
            if not {"y", "x"} <= set(axes) <= {"batch", "channel", *SPACE} or len(set(axes)) < len(axes):
                raise ModelError(
                    f"axes are batch, channel, z, y and x; this network has {', '.join(axes)}; use another"
                )
        same = tuple(wants) == ours(wants) and tuple(gives) == ours(gives) and "batch" in {*wants} & {*gives}
        return network if same and "channel" in wants else Reordered(network, wants, gives)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(1, c, [z,] y, x) -> (1, [k,] [z,] y, x)."""
        return to_ours(self.network(from_ours(x, self.wants)), self.gives)


def ours(axes: Sequence[str]) -> tuple[str, ...]:
    """The same axes in our order."""
    return tuple(axis for axis in ("batch", "channel", *SPACE) if axis in axes)


def from_ours(x: torch.Tensor, axes: Sequence[str]) -> torch.Tensor:
    """(1, c, [z,] y, x) -> these axes."""
    order = ["batch", "channel", *[a for a in SPACE if a in axes]]
    for dim, name in ((1, "channel"), (0, "batch")):
        if name not in axes:
            x = x.squeeze(dim)
            order.remove(name)
    return x.permute([order.index(axis) for axis in axes])


def to_ours(x: torch.Tensor, axes: Sequence[str]) -> torch.Tensor:
    """These axes -> (1, [c,] [z,] y, x)."""
    x = x.permute([list(axes).index(axis) for axis in ours(axes)])
    return x if "batch" in axes else x.unsqueeze(0)


def spatial(axes: Sequence[Any]) -> tuple[str, ...]:
    """The names of the spatial axes of a description, in our order."""
    found = {str(axis.id) for axis in axes if axis.type == "space"}
    return tuple(axis for axis in SPACE if axis in found)
