"""Each operator by itself: gradients of tiles are those of the whole image."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch

from gradient_checks import gradients, largest_error, weighing
from napari_seamless.training.gradients.streamed_gradient import StreamedGradient
from operator_networks import CASES, Between, Case, image


@pytest.mark.parametrize("case", [c for c in CASES if c.has_gradient], ids=lambda c: c.name)
def test_gradients_of_tiles_are_those_of_the_whole_image(case: Case) -> None:
    network, pixels = Between(case.function).double(), image(case, torch.float64)
    plain = deepcopy(network)
    weighing(plain(pixels)).backward()
    weighing(StreamedGradient(network, tile=16)(pixels)).backward()
    assert largest_error(gradients(network), gradients(plain)) <= 1e-10
