"""The weights of a network in training as it is used: averaged, its running statistics without their start values.

Running statistics of batch norm are of use after few steps only without what they began with.

After t updates with momentum m they are (1 - m)^t times their first values, 0 and 1, and for the rest a mean of what
was seen. That share is taken out, as in Adam (Kingma and Ba 2015), and is nothing after many steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.swa_utils import AveragedModel


@torch.no_grad()
def debiased_statistics(network: nn.Module) -> dict[str, Tensor]:
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
def temporary_state(network: nn.Module, state: Mapping[str, Tensor]) -> Iterator[None]:
    """The network with these parameters and buffers, by name, for the time being."""
    own = network.state_dict(keep_vars=True)
    before = {name: own[name].detach().clone() for name in state}
    try:
        _put(own, state)
        yield
    finally:
        _put(own, before)


@torch.no_grad()
def _put(own: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        own[name].copy_(value)


def moving_average(network: nn.Module, keep: float) -> AveragedModel:
    """The mean of a network's weights over its last steps (Polyak and Juditsky 1992), which jumps less than they do.

    Each step counts `keep` times as much as the one after it, less at the beginning: after t steps (t + 1) / (t + 10).
    Buffers are those of the last step.
    """

    def mean(average: Tensor, now: Tensor, steps: Tensor | int) -> Tensor:
        kept = min(keep, (int(steps) + 1) / (int(steps) + 10))
        return average + (1 - kept) * (now - average)

    return AveragedModel(network, avg_fn=mean)
