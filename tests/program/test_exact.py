"""Tiled equals whole: the promise that everything else rests on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_seamless.geometry import Grid, Region, cells_of
from networks import CASES, Case, Classes, image_for, made
from oracle import Tiled, relative_error, whole

FLOAT32, FLOAT64 = 1e-5, 1e-12
SIZES_2D = {"odd": (131, 97), "prime": (211, 157), "tiny": (19, 23), "long": (17, 401)}
SIZES_3D = {"odd": (13, 41, 35), "prime": (17, 31, 43), "tiny": (9, 10, 11), "long": (10, 9, 101)}


def cases() -> list[object]:
    found = []
    for case in CASES:
        sizes = SIZES_2D if case.ndim == 2 else SIZES_3D
        found += [pytest.param(case, shape, id=f"{case.name}-{name}") for name, shape in sizes.items()]
    return found


@pytest.mark.parametrize(("case", "shape"), cases())
def test_tiles_of_any_size_give_the_whole_image_in_single_precision(case: Case, shape: tuple[int, ...]) -> None:
    network, image = made(case), image_for(case, shape)
    tiled = Tiled.of(network, image)
    expected = whole(network, image, tiled.program.divisor)
    for tile in (64, 37, 7 if max(shape) < 50 else 129):
        assert relative_error(tiled.in_tiles(tile), expected) <= FLOAT32, f"tile {tile}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_double_precision_nothing_is_left_but_its_own_rounding(case: Case) -> None:
    shape = (70, 62) if case.ndim == 2 else (11, 30, 26)
    network, image = made(case, torch.float64), image_for(case, shape, torch.float64)
    tiled = Tiled.of(network, image)
    assert relative_error(tiled.in_tiles(24), whole(network, image, tiled.program.divisor)) <= FLOAT64


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_fast_path_equals_the_plain_path(case: Case) -> None:
    shape = (70, 62) if case.ndim == 2 else (11, 30, 26)
    network, image = made(case), image_for(case, shape)
    fast, plain = Tiled.of(network, image), Tiled.of(network, image, fast=False)
    assert relative_error(fast.in_tiles(32), torch.from_numpy(plain.in_tiles(32))) <= FLOAT32


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_a_region_alone_has_the_pixels_of_the_full_run_bit_for_bit(case: Case) -> None:
    shape = (70, 62) if case.ndim == 2 else (11, 30, 26)
    network, image = made(case), image_for(case, shape)
    full = Tiled.of(network, image).in_tiles(24)
    again = Tiled.of(network, image)
    grid = Grid(again.shape, (24,) * case.ndim)
    for index in reversed(list(cells_of(Region.from_shape(grid.counts)))):
        write = grid.region(index)
        assert np.array_equal(again.region(write), full[(slice(None), *write.slices())])


def test_labels_are_the_same_labels() -> None:
    case = Case("classes", Classes)
    network, image = made(case), 255 * image_for(case, (131, 97)).abs()
    tiled = Tiled.of(network, image)
    found = tiled.in_tiles(48)
    assert found.dtype == np.uint8
    assert np.array_equal(found[0], whole(network, image, tiled.program.divisor)[0].numpy())


@pytest.mark.parametrize(("size", "out"), [(50_000, 100_001), (70_001, 35_000), (33_333, 100_000), (33_333, 99_999)])
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
def test_far_from_the_origin_ratios_round_as_torch_rounds_them(size: int, out: int, mode: str) -> None:
    """At coordinate 50 000 single precision moves weights by 0.004; the whole image has that, so must a tile."""

    class Resize(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(x, size=(out, 5), mode=mode)

    network, image = Resize(), torch.randn(1, 1, size, 5)
    tiled = Tiled.of(network, image)
    assert relative_error(tiled.in_tiles(30_000, 5), whole(network, image)) <= FLOAT32
