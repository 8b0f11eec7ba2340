"""Gradients of tiles, added up, are the gradients of the whole image in plain torch."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import Tensor, nn

import barrier_networks
import networks
from gradient_checks import gradients, largest_error, weighing
from napari_seamless.program.trace import Padded
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient

FLOAT32, FLOAT64 = 1e-5, 1e-10
TILES = (19, 30)
SIZES = {2: (53, 47), 3: (9, 17, 14)}


def whole(network: nn.Module, image: Tensor, divisor: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Output and gradients in plain torch."""
    plain = deepcopy(network)
    output = (plain if divisor == 1 else Padded(plain, divisor))(image)
    weighing(output).backward()
    return output.detach(), gradients(plain)


def check(network: nn.Module, image: Tensor, tolerance: float) -> None:
    """Output and gradients for two sizes of tiles, against plain torch."""
    stream = StreamedGradient(network)
    divisor = stream.plan_for(image.shape[1:]).program.divisor
    output, truth = whole(network, image, divisor)
    for tile in TILES:
        stream.tile = tile
        network.zero_grad()
        mine = stream(image)
        weighing(mine).backward()
        assert (mine - output).abs().max() <= tolerance * output.abs().max(), f"tile {tile}"
        assert largest_error(gradients(network), truth) <= tolerance, f"tile {tile}"


@pytest.mark.parametrize("case", networks.CASES, ids=lambda c: c.name)
def test_local_networks_have_the_gradients_of_the_whole_image(case: networks.Case) -> None:
    check(networks.made(case, torch.float64), networks.image_for(case, SIZES[case.ndim], torch.float64), FLOAT64)


@pytest.mark.parametrize("case", barrier_networks.CASES, ids=lambda c: c.name)
def test_networks_that_look_at_the_whole_plane_have_them_too(case: barrier_networks.Case) -> None:
    shape = SIZES[case.ndim]
    check(barrier_networks.made(case, shape, torch.float64), uneven(case, shape), FLOAT64)


@pytest.mark.parametrize("name", ["unet-bilinear", "convnext"])
def test_in_single_precision_only_rounding_is_left(name: str) -> None:
    case = next(c for c in networks.CASES if c.name == name)
    check(networks.made(case), networks.image_for(case, SIZES[2]), FLOAT32)


@pytest.mark.parametrize("name", ["unet-group", "efficientnet"])
def test_in_single_precision_barriers_are_as_close_to_the_truth_as_the_whole_image(name: str) -> None:
    case = next(c for c in barrier_networks.CASES if c.name == name)
    image = uneven(case, SIZES[2])
    _, truth = whole(barrier_networks.made(case, SIZES[2], torch.float64), image, 1)
    network = barrier_networks.made(case, SIZES[2])
    _, single = whole(network, image.float(), 1)
    weighing(StreamedGradient(network, tile=19)(image.float())).backward()
    assert largest_error(gradients(network), truth) <= max(FLOAT32, 3 * largest_error(single, truth))


@pytest.mark.parametrize("name", ["unet-group", "nested"])
def test_it_makes_no_difference_what_is_kept_between_passes(name: str) -> None:
    case = next(c for c in barrier_networks.CASES if c.name == name)
    network, image = barrier_networks.made(case, SIZES[2], torch.float64), uneven(case, SIZES[2])
    stream = StreamedGradient(network, tile=19, keep=10**9)
    assert any(stage.part.saved for stage in stream.plan_for(image.shape[1:]).stages)
    _, truth = whole(network, image, 1)
    for _ in range(2):
        network.zero_grad()
        output = stream(image)
        weighing(output).backward()
        assert largest_error(gradients(network), truth) <= FLOAT64


def uneven(case: barrier_networks.Case, shape: tuple[int, ...]) -> Tensor:
    """An image of which every tile's own statistics mislead, with a flat half where extremes are shared."""
    channels = 3 if case.ndim == 2 else 1
    image = torch.rand(1, channels, *shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    image[..., : shape[-1] // 3] = 0.9
    image[..., :5, -5:] += 4
    return image
