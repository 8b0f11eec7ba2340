"""The optimiser that the settings of a training name."""

from __future__ import annotations

import torch
from torch import nn

from napari_seamless.errors import BadRequest
from napari_seamless.training.loop.settings import TrainingSettings


def make_optimiser(network: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    weights = [p for p in network.parameters() if p.requires_grad]
    if not weights:
        raise BadRequest("a network must have weights that can learn; this one has none; choose another")
    decay = settings.weight_decay
    match settings.optimiser:
        case "adamw":
            return torch.optim.AdamW(weights, lr=settings.rate, weight_decay=decay)
        case "adam":
            return torch.optim.Adam(weights, lr=settings.rate, weight_decay=decay)
        case "sgd":
            return torch.optim.SGD(weights, lr=settings.rate, weight_decay=decay, momentum=settings.momentum)
