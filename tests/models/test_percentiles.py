"""Order statistics of the whole plane: exactly numpy's, however the image is cut."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from napari_seamless.errors import NotTileable
from napari_seamless.models.preprocessing.percentile import MeanStdScale, PercentileScale, percentile
from napari_seamless.program.passes import plan_passes
from napari_seamless.program.trace import trace
from oracle import by_passes, whole

SHAPE = (1, 3, 61, 45)


def numbers(kind: str, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images that are awkward to order."""
    chance = torch.Generator().manual_seed(0)
    normal = torch.randn(SHAPE, generator=chance, dtype=torch.float64)
    match kind:
        case "ties":
            normal = normal.mul(2).round()
        case "one bucket":
            normal = 1 + normal.abs() * 1e-6
        case "wide":
            normal = normal.sign() * 10 ** (8 * normal)
        case "constant":
            normal = torch.full_like(normal, -0.3)
        case "grey levels":
            normal = normal.mul(40).add(128).clamp(0, 255).floor()
    return normal.to(dtype)


class Made(nn.Module):
    """An image from some statistics of it."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[:, :1]) + self.function(x).reshape(1, -1, 1, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["single", "double"])
@pytest.mark.parametrize("kind", ["normal", "ties", "one bucket", "wide", "constant", "grey levels"])
def test_percentiles_are_those_of_numpy(kind: str, dtype: torch.dtype) -> None:
    image = numbers(kind, dtype)
    wanted = [0.0, 1.0, 37.5, 50.0, 99.8, 100.0]
    program = trace(Made(lambda x: percentile(x, wanted, True)), SHAPE, dtype=dtype)
    found = by_passes(program, image, 20)[0, :, 0, 0].numpy().reshape(6, 3)
    expected = np.percentile(image[0].double().flatten(1).numpy(), wanted, axis=1)
    np.testing.assert_allclose(found, expected.astype(found.dtype), rtol=4 * np.finfo(found.dtype).eps, atol=0)


ORDERED: dict[str, Callable[[Tensor], Tensor]] = {
    "quantile": lambda x: torch.quantile(x.flatten(2), torch.tensor([0.1, 0.5, 0.999], dtype=x.dtype), dim=2)[1],
    "quantile of all": lambda x: torch.quantile(x, 0.37),
    "quantile, nearest": lambda x: torch.quantile(x.flatten(2), 0.37, dim=2, interpolation="nearest"),
    "quantile, higher": lambda x: torch.quantile(x.flatten(2), 0.37, dim=2, keepdim=True, interpolation="higher"),
    "median": lambda x: x.flatten(2).median(2).values,
    "median of all": lambda x: x.median(),
    "kthvalue": lambda x: x.flatten(2).kthvalue(17, 2, keepdim=True).values,
    "median of channels": lambda x: x.median(1, keepdim=True).values.mean(),
}


@pytest.mark.parametrize("name", ORDERED)
def test_tiles_give_the_order_statistics_of_torch(name: str) -> None:
    for dtype in (torch.float32, torch.float64):
        network, image = Made(ORDERED[name]), numbers("normal", dtype)
        found = by_passes(trace(network, SHAPE, dtype=dtype), image, 17)
        assert torch.allclose(found, whole(network, image), rtol=4 * torch.finfo(dtype).eps, atol=0)


@pytest.mark.parametrize(
    "network",
    [
        PercentileScale(2, 98),
        PercentileScale(per_channel=False, clip=True),
        MeanStdScale(),
        MeanStdScale(per_channel=False),
        nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.InstanceNorm2d(3), PercentileScale(5, 95)),
    ],
)
def test_an_image_is_scaled_by_its_own_statistics(network: nn.Module) -> None:
    image = 200 * numbers("normal").abs()
    found = by_passes(trace(network, SHAPE), image, 16)
    assert torch.allclose(found, whole(network, image), rtol=1e-5, atol=1e-5)


def test_a_plane_too_large_for_torchs_quantile_is_traced_and_measured_in_two_passes() -> None:
    program = trace(PercentileScale(), (1, 3, 30_000, 40_000))
    assert len(plan_passes(program)) == 3


def test_positions_of_ordered_values_are_refused() -> None:
    with pytest.raises(NotTileable, match="uses the positions of ordered values"):
        trace(Made(lambda x: x.flatten(2).median(2).indices.float()), SHAPE)
