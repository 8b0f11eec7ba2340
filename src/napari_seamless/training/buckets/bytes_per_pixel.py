"""How much memory a training step takes for each pixel, found by doing one.

What grows with the image in training is what the forward pass keeps for the backward pass. It is counted tensor by
tensor through torch's own hooks, and the gradient of the largest of them is added, once going in and once out.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from napari_seamless.errors import BadRequest

SIDES = (96, 192)


def step_bytes(network: nn.Module, *inputs: Tensor) -> int:
    """Predicted peak bytes of forward and backward pass on `inputs`, beside the weights and their gradients."""
    weights = {_storage(t) for t in _state(network)}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in weights:
            kept[_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        result = network(*inputs)
    if not isinstance(result, Tensor) or not result.requires_grad:
        raise BadRequest(
            "memory of training is measured on a network that gives one tensor with a gradient; "
            f"got {type(result).__name__} from {type(network).__name__}; wrap it so that it gives its logits"
        )
    return sum(kept.values()) + 2 * max(kept.values(), default=0)


def bytes_per_pixel(
    network: nn.Module, channels: int = 3, *, masked: bool = False, device: str | torch.device = "cpu"
) -> float:
    """Bytes that training takes for each further pixel of an image (1, channels, y, x) of float32.

    `masked` networks get the mask (1, 1, y, x) of a `PaddedBatch` beside the image.
    """

    def of(side: int) -> int:
        image = torch.rand(1, channels, side, side, device=device)
        mask = torch.ones(1, 1, side, side, dtype=torch.bool, device=device)
        return step_bytes(network, image, mask) if masked else step_bytes(network, image)

    small, large = (of(side) for side in SIDES)
    return (large - small) / (SIDES[1] ** 2 - SIDES[0] ** 2)


def _state(network: nn.Module) -> Iterable[Tensor]:
    yield from network.parameters()
    yield from network.buffers()


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage().data_ptr())
