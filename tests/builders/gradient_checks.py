"""A loss that weighs every pixel, and how far gradients are from the true ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def weighing(output: Tensor) -> Tensor:
    """A loss that weighs every pixel of the output differently."""
    weights = torch.linspace(-1, 2, output.numel(), dtype=output.dtype).reshape(output.shape)
    return (output * weights.cos()).sum() / output.numel() ** 0.5 + (output**2).mean()


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def largest_error(found: dict[str, Tensor], truth: dict[str, Tensor]) -> float:
    """The largest difference, as a share of the largest gradient of that parameter or of a hundredth of all."""
    assert found.keys() == truth.keys()
    scale = max(float(t.abs().max()) for t in truth.values())
    return max(
        float((found[name].double() - t).abs().max()) / max(float(t.abs().max()), 1e-2 * scale)
        for name, t in truth.items()
    )
