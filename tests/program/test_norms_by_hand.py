"""Normalisations that a network spells out take as few passes as torch's own, and are as exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_seamless.program.passes import barriers_of, count_passes
from napari_seamless.program.trace import trace
from oracle import by_passes, relative_error, whole

Norm = Callable[[Tensor], Tensor]
PLANE = (2, 3)
FLOAT32, FLOAT64 = 1e-5, 1e-12


def two_steps(x: Tensor) -> Tensor:
    mean = x.mean(PLANE, keepdim=True)
    variance = ((x - mean) ** 2).mean(PLANE, keepdim=True)
    return (x - mean) / (variance + 1e-5).sqrt()


def product(x: Tensor) -> Tensor:
    centred = x - x.mean(PLANE, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(PLANE, keepdim=True) + 1e-5)


def turned_round(x: Tensor) -> Tensor:
    mean = x.mean(PLANE, keepdim=True)
    total = torch.sum(torch.square(mean - x), PLANE, keepdim=True)
    return (x - mean) / torch.sqrt(total / (x.shape[2] * x.shape[3]) + 1e-5)


def flattened(x: Tensor) -> Tensor:
    rows = x.flatten(2)
    mean, deviation = rows.mean(2)[..., None, None], rows.var(2).add(1e-5).sqrt()[..., None, None]
    return (x - mean) / deviation


def grouped(x: Tensor) -> Tensor:
    groups = x.unflatten(1, (2, 2))
    mean = groups.mean((2, 3, 4), keepdim=True)
    variance = (groups - mean).square().mean((2, 3, 4), keepdim=True)
    return ((groups - mean) * (variance + 1e-5).rsqrt()).flatten(1, 2)


def groups_in_a_row(x: Tensor) -> Tensor:
    """Channels of a group and positions in one dimension, as a group norm is usually written."""
    n, c, h, w = x.shape
    rows = x.view(n, 2, -1)
    mean, variance = rows.mean(-1, keepdim=True), rows.var(-1, keepdim=True, unbiased=False)
    scaled = (rows - mean) / (variance + 1e-5).sqrt() * torch.tensor([1.5, 2.0]).to(x).view(1, 2, 1)
    return scaled.view(n, c, h, w) + torch.arange(4).to(x).view(1, 4, 1, 1)


def groups_as_images(x: Tensor) -> Tensor:
    n, c, _, _ = x.shape
    rows = x.reshape(n * 2, c // 2, -1).flatten(1)
    deviation, mean = torch.std_mean(rows, dim=1)
    return ((rows - mean[:, None]) / (deviation[:, None] + 1e-5)).view_as(x)


def groups_by_instance_norm(x: Tensor) -> Tensor:
    factor = torch.tensor([1.5, 2.0]).to(x)
    return F.instance_norm(x.reshape(x.shape[0], 2, -1), weight=factor, bias=factor).reshape(x.shape)


def groups_expanded(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    groups = x.reshape(n, 2, c // 2, h, w)
    variance = groups.var((2, 3, 4), keepdim=True).expand_as(groups)
    return x * x.sigmoid() / (variance + 1e-5).sqrt().reshape(n, c, h, w)


def everything_in_a_row(x: Tensor) -> Tensor:
    rows = x.flatten()
    return ((rows - rows.mean()) / rows.std()).reshape(x.shape)


def centred_first(x: Tensor) -> Tensor:
    centred = x - x.mean(PLANE, keepdim=True)
    return centred / (centred.std(PLANE, keepdim=True) + 1e-5)


def to_length_one(x: Tensor) -> Tensor:
    centred = x - x.mean(PLANE, keepdim=True)
    return 30 * centred / (centred.norm(dim=PLANE, keepdim=True) + 1e-5)


def beside_another_mean(x: Tensor) -> Tensor:
    """Of the squared differences from what is not the mean."""
    top = x.amax(PLANE, keepdim=True)
    return x / (x - 0.5 * top).pow(2).mean(PLANE, keepdim=True)


NORMS = (
    two_steps,
    product,
    turned_round,
    flattened,
    grouped,
    centred_first,
    to_length_one,
    groups_in_a_row,
    groups_as_images,
    groups_by_instance_norm,
    groups_expanded,
    everything_in_a_row,
)


class Norms(nn.Module):
    """A convolution before each of them."""

    def __init__(self, norm: Norm, count: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.convolutions = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(count))
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        for convolution in self.convolutions:
            x = torch.relu(self.norm(convolution(x)))
        return x


def image(dtype: torch.dtype) -> Tensor:
    """Far from zero on one side, so that the mean of squares alone would say little."""
    pixels = torch.randn(1, 4, 23, 37, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pixels[..., :18] = 9 + pixels[..., :18] / 50
    return pixels.to(dtype)


@pytest.mark.parametrize("norm", NORMS, ids=lambda norm: norm.__name__)
def test_a_norm_by_hand_takes_the_passes_of_the_built_in_one_and_is_exact(norm: Norm) -> None:
    built_in = trace(Norms(nn.InstanceNorm2d(4)), (1, 4, 23, 37))
    for dtype, allowed in ((torch.float32, FLOAT32), (torch.float64, FLOAT64)):
        network, pixels = Norms(norm).to(dtype), image(dtype)
        program = trace(network, tuple(pixels.shape), dtype=dtype)
        assert count_passes(program) == count_passes(built_in) == 4
        assert relative_error(by_passes(program, pixels, 16).numpy(), whole(network, pixels)) <= allowed


def test_mean_and_variance_of_one_value_are_measured_once() -> None:
    program = trace(Norms(centred_first, 1), (1, 4, 23, 37))
    assert len(barriers_of(program)) == 1


def test_squared_differences_from_any_number_of_the_plane_follow_from_its_moments() -> None:
    network, pixels = Norms(beside_another_mean, 1).double(), image(torch.float64)
    program = trace(network, tuple(pixels.shape), dtype=torch.float64)
    assert count_passes(program) == 2
    assert relative_error(by_passes(program, pixels, 16).numpy(), whole(network, pixels)) <= FLOAT64


def test_squared_differences_from_the_mean_of_each_row_are_measured_of_themselves() -> None:
    def norm(x: Tensor) -> Tensor:
        return x / (x - x.mean(3, keepdim=True)).pow(2).mean(PLANE, keepdim=True)

    network, pixels = Norms(norm, 1).double(), image(torch.float64)
    program = trace(network, tuple(pixels.shape), dtype=torch.float64)
    assert relative_error(by_passes(program, pixels, 16).numpy(), whole(network, pixels)) <= FLOAT64
