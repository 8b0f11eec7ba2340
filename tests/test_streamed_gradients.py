"""Gradients of tiles, added up, are the gradients of the whole image in plain torch."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

import barrier_networks
import networks
from napari_seamless.program.trace import Padded
from napari_seamless.training import StreamedGradient

FLOAT32, FLOAT64 = 1e-5, 1e-10
SIZES = {2: (53, 47), 3: (9, 17, 14)}


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


def whole(network: nn.Module, image: Tensor, divisor: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and gradients in plain torch."""
    plain = deepcopy(network)
    output = (plain if divisor == 1 else Padded(plain, divisor))(image)
    weighing(output).backward()
    return output.detach(), gradients(plain)


def check(network: nn.Module, image: Tensor, tiles: tuple[int, ...], tolerance: float) -> None:
    stream = StreamedGradient(network)
    divisor = stream.plan_for(image.shape[1:]).program.divisor
    output, truth = whole(network, image, divisor)
    for tile in tiles:
        stream.tile = tile
        network.zero_grad()
        mine = stream(image)
        weighing(mine).backward()
        assert (mine - output).abs().max() <= tolerance * output.abs().max()
        error = largest_error(gradients(network), truth)
        print(error)
        assert error <= tolerance


@pytest.mark.parametrize("case", networks.CASES, ids=lambda c: c.name)
def test_local(case: networks.Case) -> None:
    shape = SIZES[case.ndim]
    network, image = networks.made(case, torch.float64), networks.image_for(case, shape, torch.float64)
    check(network, image, (19, 30), FLOAT64)


@pytest.mark.parametrize("case", barrier_networks.CASES, ids=lambda c: c.name)
def test_barriers(case: barrier_networks.Case) -> None:
    shape = SIZES[case.ndim]
    torch.manual_seed(3)
    network, image = (
        barrier_networks.made(case, shape, torch.float64),
        torch.rand(1, 3 if case.ndim == 2 else 1, *shape, dtype=torch.float64),
    )
    check(network, image, (19, 30), FLOAT64)
