"""The small network that loaders write their examples with."""

from __future__ import annotations

import torch
from torch import nn

CHANNELS = 2


def example_network() -> nn.Module:
    """float32 (1, 2, y, x) -> (1, 3, y, x): two convolutions with weights that are the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(CHANNELS, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 3, 3, padding=1)).eval()
