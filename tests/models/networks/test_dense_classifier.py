"""A classifier of crops, made dense, gives what it gives when it is run at every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.errors import BadRequest
from napari_seamless.models.networks.dense_classifier import dense

CROP = 21


def classifier(kind: str) -> nn.Sequential:
    """Networks for crops of 21 x 21 pixels and three classes."""
    torch.manual_seed(7)
    match kind:
        case "max pooling":
            head = [nn.Conv2d(3, 6, 4), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 4), nn.ReLU(), nn.MaxPool2d(2)]
            return nn.Sequential(
                *head, nn.Flatten(), nn.Linear(8 * 3 * 3, 10), nn.ReLU(), nn.Dropout(), nn.Linear(10, 3)
            )
        case "strides and averages":
            body = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.PReLU())
            return nn.Sequential(body, nn.AvgPool2d(2), nn.Conv2d(4, 5, 3, groups=1), nn.Flatten(), nn.Linear(45, 3))
        case "overlapping pooling":
            head = [nn.Conv2d(3, 4, 3, dilation=2), nn.Tanh(), nn.MaxPool2d(3, stride=2), nn.Conv2d(4, 4, 3)]
            return nn.Sequential(*head, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
        case "pooling that leaves a pixel out":
            return nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3))
    raise AssertionError(kind)


def sliding(network: nn.Module, image: Tensor) -> Tensor:
    """The classifier run at every pixel, crop by crop."""
    half = CROP // 2
    padded = F.pad(image, (half, CROP - 1 - half, half, CROP - 1 - half), mode="reflect")
    crops = padded.unfold(2, CROP, 1).unfold(3, CROP, 1)
    rows, columns = crops.shape[2:4]
    batch = crops.permute(0, 2, 3, 1, 4, 5).reshape(rows * columns, -1, CROP, CROP)
    with torch.no_grad():
        answers = network.eval()(batch)
    return answers.reshape(1, rows, columns, -1).permute(0, 3, 1, 2)


KINDS = ("max pooling", "strides and averages", "overlapping pooling", "pooling that leaves a pixel out")


@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_network_equals_the_classifier_run_at_every_pixel(kind: str) -> None:
    network = classifier(kind).double()
    image = torch.rand(1, 3, 37, 30, dtype=torch.float64)
    with torch.no_grad():
        found = dense(network, CROP)(image)
    torch.testing.assert_close(found, sliding(network, image), rtol=1e-12, atol=1e-12)


def test_every_third_pixel_is_every_third_pixel() -> None:
    network = classifier(KINDS[0])
    image = torch.rand(1, 3, 40, 34)
    with torch.no_grad():
        found, all_of_them = dense(network, CROP, every=3)(image), dense(network, CROP)(image)
    torch.testing.assert_close(found, all_of_them[..., ::3, ::3])


@pytest.mark.parametrize("kind", KINDS)
def test_a_dense_network_is_exact_in_tiles(kind: str) -> None:
    network = classifier(kind)
    image = np.random.default_rng(1).random((3, 150, 170), np.float32)
    found = np.asarray(ns.run(dense(network, CROP), image, axes="cyx", tile=64, scheduler="serial"))
    expected = sliding(network, torch.from_numpy(image)[None])[0].numpy()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_the_classifier_is_left_as_it_was() -> None:
    network = classifier(KINDS[1]).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    made = dense(network, CROP)
    for parameter in made.parameters():
        parameter.data.zero_()
    assert network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 21 * 21, 2)), "pads the crop"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(99, 2)), "a crop of the size it was trained on"),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), "one vector a crop"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3 * 21 * 21, 2)), "begins with a convolution"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Flatten(), nn.Linear(4 * 19 * 19, 2)),
            "got InstanceNorm2d",
        ),
        (
            nn.Sequential(nn.Conv2d(3, 4, 2), nn.MaxPool2d(3, ceil_mode=True), nn.Flatten(), nn.Linear(4 * 49, 2)),
            "ceil_mode",
        ),
    ],
)
def test_what_cannot_be_made_dense_is_refused_in_one_sentence(network: nn.Sequential, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        dense(network, CROP)
