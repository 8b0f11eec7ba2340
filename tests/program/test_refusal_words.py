"""What a network is refused for is named as it is, with the line of the network's own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import napari_seamless as ns
from napari_seamless.errors import NotTileable, TraceFailed

IMAGE = np.zeros((1, 64, 64), np.float32)


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1 if x.mean() > 0 else x


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(1, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(x.mean((2, 3)))


def test_a_branch_on_a_value_is_not_blamed_on_the_size() -> None:
    with pytest.raises(TraceFailed, match=r"asks for a value at .*_words\.py:\d+ \(return x \+ 1 if") as got:
        ns.run(Branch(), IMAGE)
    assert "size it is run on" not in str(got.value)


def test_layers_of_mixed_types_are_told_as_such() -> None:
    mixed = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3).to(torch.float16)).eval()
    with pytest.raises(TraceFailed, match=r"must compute in it, or cast by itself.*network\.float\(\)"):
        ns.run(mixed, IMAGE)


def test_networks_that_give_scores_hear_of_classify() -> None:
    with pytest.raises(NotTileable, match=r"scores for the image.*napari_seamless\.classify\(model, image\)"):
        ns.run(Scores().eval(), IMAGE)


class PlaceAmongChannelsLast(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.permute(0, 2, 3, 1).argmax()


def test_a_place_among_channels_that_lie_behind_positions_is_refused_and_not_counted_wrongly() -> None:
    with pytest.raises(NotTileable, match="it counts places over channels that lie behind positions"):
        ns.run(PlaceAmongChannelsLast(), np.zeros((3, 64, 64), np.float32))
