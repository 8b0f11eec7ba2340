"""Some channels of an image, in another order, and a pixel size that somebody knows."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers.array import open_arrays
from napari_seamless.io.readers.selection import select
from napari_seamless.models import Model
from napari_seamless.runs.channels import channel_names
from napari_seamless.runs.prepare import prepare
from napari_seamless.runs.prepared import Prepared
from napari_seamless.runs.tile_timing import time_tile


def image() -> Source:
    pixels = np.random.default_rng(0).integers(0, 255, (4, 40, 50), np.uint8)
    return open_arrays([pixels], axes="cyx", channel_names=("DAPI", "Actin", "Tubulin", "Phase"))


def test_channels_come_by_number_or_name_in_the_order_given() -> None:
    chosen = select(image(), channels=("Phase", 0, 0))
    region = Region.of((3, 9), (5, 20))
    np.testing.assert_array_equal(chosen.read(region), image().read(region)[[3, 0, 0]])
    assert chosen.info.channel_names == ("Phase", "DAPI", "DAPI")


def test_a_selection_is_a_source_like_any_other_and_travels() -> None:
    chosen = select(image(), channels=(2, 1), pixel_size=0.5)
    again = pickle.loads(pickle.dumps(chosen))
    assert again.info == chosen.info
    assert (again.info.pixel_size, again.info.unit) == ((0.5, 0.5), "micrometer")


def test_other_channels_are_another_image_for_a_journal_and_a_pixel_size_is_not() -> None:
    whole = image()
    assert select(whole, channels=(1, 0)).info.identity != whole.info.identity
    assert select(whole, pixel_size=2).info.identity == whole.info.identity
    assert select(whole, channels=(0, 1, 2, 3)) is whole


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"channels": ()}, "at least one channel must be chosen"),
        ({"channels": (4,)}, "got 4; 'array' has DAPI, Actin, Tubulin, Phase"),
        ({"channels": ("GFP",)}, "got 'GFP'"),
        ({"pixel_size": 0}, "one number above zero"),
        ({"pixel_size": (1, 2, 3)}, "one for each of 2 axes"),
    ],
)
def test_what_cannot_be_chosen_is_refused(options, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        select(image(), **options)


class Sum(torch.nn.Module):
    """Tells its channels apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[:, :1] + 256 * x[:, 1:2]


TWO = Model("two", Sum().eval(), "two stains", channels=2, input_names=("actin", "DAPI"))


def test_a_model_that_names_its_channels_gets_those_of_that_name() -> None:
    prepared = prepare(TWO, image())
    assert prepared.source.info.channel_names == ("Actin", "DAPI")


def test_without_the_names_a_wrong_number_of_channels_is_refused() -> None:
    with pytest.raises(InputMismatch, match="needs an image of 2 channels"):
        prepare(replace(TWO, input_names=("a", "b")), image())


def test_channels_without_names_get_numbers_and_colours_are_named() -> None:
    plain = open_arrays([np.zeros((2, 8, 8), np.uint8)], axes="cyx")
    colours = open_arrays([np.zeros((8, 8, 3), np.uint8)], axes="yxc", rgb=True)
    assert channel_names(plain.info) == ("channel 1", "channel 2")
    assert channel_names(colours.info) == ("red", "green", "blue")


class Normed(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.instance_norm(x)


@pytest.mark.parametrize(("module", "passes"), [(torch.nn.Conv2d(4, 2, 3), 1), (Normed(), 2)], ids=["plain", "normed"])
def test_the_time_of_a_tile_is_taken_and_says_of_what(module: torch.nn.Module, passes: int) -> None:
    prepared: Prepared = prepare(module.eval(), image())
    timing = time_tile(prepared, 32, device="cpu")
    assert timing.seconds_per_pixel > 0
    assert (timing.edge, timing.device, timing.passes, timing.is_least) == (32, "cpu", passes, passes > 1)
