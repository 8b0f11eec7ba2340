"""Running statistics of batch norm without what they began with, so that a network is of use after few steps.

After t updates with momentum m they are (1 - m)^t times their first values, 0 and 1, and for the rest a mean of what
was seen. That share is taken out, as in Adam (Kingma and Ba 2015), and is nothing after many steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@torch.no_grad()
def without_beginning(network: nn.Module) -> dict[str, Tensor]:
    """The running statistics of a network that has learned from random weights on, by name; of layers that have seen
    something."""
    found: dict[str, Tensor] = {}
    for path, layer in network.named_modules():
        if not isinstance(layer, _BatchNorm) or layer.momentum is None or layer.num_batches_tracked is None:
            continue
        left = (1 - layer.momentum) ** int(layer.num_batches_tracked)
        if left == 1 or layer.running_mean is None or layer.running_var is None:
            continue
        begin = f"{path}." if path else ""
        found[f"{begin}running_mean"] = layer.running_mean / (1 - left)
        found[f"{begin}running_var"] = ((layer.running_var - left) / (1 - left)).clamp(min=0)
    return found


@contextmanager
def shown_without_beginning(network: nn.Module) -> Iterator[None]:
    """The network with these statistics, for the time being."""
    buffers = dict(network.named_buffers())
    better = without_beginning(network)
    before = {name: buffers[name].clone() for name in better}
    try:
        _put(buffers, better)
        yield
    finally:
        _put(buffers, before)


@torch.no_grad()
def _put(buffers: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        buffers[name].copy_(value)
