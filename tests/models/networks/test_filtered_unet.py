"""The network that lessons begin with: what its filters see, and what it gives before it has learned."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.testing import assert_close

from napari_seamless.models.networks.filtered_unet import TINY, FilteredUNet, Filters


def picture() -> torch.Tensor:
    return torch.randn(1, 2, 24, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_filters_are_derivatives_of_a_gaussian_and_their_lengths() -> None:
    def derivative(channel: int, *orders: int) -> np.ndarray:
        return gaussian_filter(picture()[0, channel].numpy(), 1, orders, mode="nearest", truncate=3)

    found = Filters().double()(picture())[0].reshape(5, 2, 24, 30).numpy()
    for channel in range(2):
        down, right = derivative(channel, 1, 0), derivative(channel, 0, 1)
        hessian = np.array(
            [
                [derivative(channel, 2, 0), derivative(channel, 1, 1)],
                [derivative(channel, 1, 1), derivative(channel, 0, 2)],
            ]
        )
        small, large = np.moveaxis(np.linalg.eigvalsh(np.moveaxis(hessian, (0, 1), (-2, -1))), -1, 0)
        values, smooth, slope, bend, spread = found[:, channel]
        np.testing.assert_array_equal(values, picture()[0, channel])
        np.testing.assert_allclose(smooth, derivative(channel, 0, 0), atol=1e-6)
        np.testing.assert_allclose(slope, np.sqrt(down**2 + right**2 + TINY), atol=1e-6)
        np.testing.assert_allclose(bend, small + large, atol=1e-6)
        np.testing.assert_allclose(spread, np.sqrt((large - small) ** 2 + TINY), atol=1e-6)


def test_what_is_turned_is_seen_turned() -> None:
    filters = Filters().double()
    assert_close(filters(picture().rot90(1, (2, 3))), filters(picture()).rot90(1, (2, 3)))


def test_a_new_network_classifies_pixels_and_its_u_net_is_silent_until_it_learns() -> None:
    torch.manual_seed(0)
    network = FilteredUNet(2, 3, sizes=2, width=8, widths=(4, 4))
    x = torch.randn(1, 2, 64, 64)
    logits = network(x)
    assert logits.shape == (1, 3, 64, 64)
    far = x.clone()
    far[..., 40:] += 9.0
    assert_close(network(far)[..., :24], logits[..., :24])
    logits[:, 0].sum().backward()
    assert network.look_around.head.weight.grad is not None
    assert network.look_around.head.weight.grad.abs().sum() > 0
