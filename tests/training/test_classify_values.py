"""A classifier sees the values that it was made for, whatever type the image's are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import InputMismatch


class Scores(nn.Module):
    """The means of the channels, and of their squares."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x.mean((2, 3)), (x * x).mean((2, 3))], 1)


@pytest.fixture
def model() -> ns.Model:
    return ns.Model("grader", Scores(), "A grader", dtype="uint8", value_range=(0.0, 255.0))


PICTURE = np.random.default_rng(0).integers(0, 256, (3, 80, 90)).astype(np.uint8)


@pytest.mark.parametrize(
    "pixels",
    [PICTURE.astype(np.uint16) * 257, (PICTURE / 255).astype(np.float32)],
    ids=["16 bits", "from 0 to 1"],
)
def test_the_same_picture_gets_the_same_grade_in_any_type(model: ns.Model, pixels: np.ndarray) -> None:
    told: list[str] = []
    expected = ns.classify(model, PICTURE)
    found = ns.classify(model, pixels, on_notice=told.append)
    for name, number in expected.items():
        assert found[name] == pytest.approx(number, rel=1e-4)
    assert any("are scaled to these" in notice for notice in told)


def test_values_that_nothing_is_known_of_are_refused_until_somebody_says_it(model: ns.Model) -> None:
    pixels = PICTURE.astype(np.uint16) * 16
    with pytest.raises(InputMismatch, match="nothing says what black and white are"):
        ns.classify(model, pixels)
    found = ns.classify(model, pixels, value_range=(0, 4080))
    for name, number in ns.classify(model, PICTURE).items():
        assert found[name] == pytest.approx(number, rel=1e-4)
