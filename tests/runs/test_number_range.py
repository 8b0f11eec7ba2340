"""Numbers that do not fit are refused in a sentence, and never wrapped or made infinite."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import InputMismatch
from napari_seamless.models import Model


class Numbers(torch.nn.Module):
    """Labels that begin at a number."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] * 0).long() + self.first


def labels_from(first: int) -> Model:
    return Model(name="numbers", module=Numbers(first), title="t", kind="labels")


@pytest.mark.parametrize("first", [2**31 + 7, -(2**31) - 1])
def test_labels_beyond_31_bits_are_refused(first: int) -> None:
    with pytest.raises(InputMismatch, match=f"stored in 32 bits, .* got {first} from the network"):
        ns.run(labels_from(first), np.zeros((1, 64, 64), np.float32), scheduler="serial")


def test_the_largest_label_of_31_bits_is_kept() -> None:
    found = np.asarray(ns.run(labels_from(2**31 - 1), np.zeros((1, 64, 64), np.float32), scheduler="serial"))
    assert (found == 2**31 - 1).all()


def test_values_beyond_float32_are_refused() -> None:
    image = np.zeros((1, 64, 64))
    image[0, 3, 4] = 1e39
    with pytest.raises(InputMismatch, match=r"float32, up to 3\.4e\+38; got 1e\+39 of float64"):
        ns.run(torch.nn.Conv2d(1, 1, 3, padding=1), image, scheduler="serial")
