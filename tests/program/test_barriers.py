"""Tiled equals whole for networks that look at the whole plane, on images where every tile's own statistics mislead."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from skimage.data import immunohistochemistry
from torch import Tensor

from barrier_networks import CASES, Case, made
from napari_seamless.program.graph import Program
from napari_seamless.program.passes import depths, plan_passes, settled
from napari_seamless.program.trace import trace
from oracle import by_passes, whole

PLANE, VOLUME = (53, 47), (7, 17, 14)
SIZES = {2: {"odd": (17, 71), "tiny": (11, 9)}, 3: {"odd": (5, 31, 12), "tiny": (5, 7, 9)}}
TILES = {2: (21, 30), 3: (7, 10)}
FLOAT32, FLOAT64 = 1e-5, 1e-10
ROUNDINGS = 3
"""How many times as far from the truth tiles may be as plain torch is in the same precision, where it is not exact."""


def tissue(shape: tuple[int, ...]) -> Tensor:
    """A corner of a stained section, (1, 3, y, x) or (1, 1, z, y, x), 0..1 float64."""
    pixels = torch.from_numpy(immunohistochemistry()[200:, 200:]).double().permute(2, 0, 1)[None] / 255
    plane = pixels[:, :, : shape[-2], : shape[-1]]
    if len(shape) == 2:
        return plane.clone()
    return plane[:, :1, None] * torch.linspace(0.5, 1.5, shape[0], dtype=torch.float64).view(1, 1, -1, 1, 1)


def half_blank(shape: tuple[int, ...]) -> Tensor:
    image = tissue(shape)
    image[..., : shape[-1] // 2] = 0.95
    return image


def bright_corner(shape: tuple[int, ...]) -> Tensor:
    image = 0.1 * tissue(shape)
    image[..., :6, :6] = 50
    return image


def constant(shape: tuple[int, ...]) -> Tensor:
    return torch.full_like(tissue(shape), 0.7)


IMAGES = {"half-blank": half_blank, "bright-corner": bright_corner, "constant": constant}


@cache
def traced(case: Case, shape: tuple[int, ...], dtype: torch.dtype) -> Program:
    return trace(made(case, shape, dtype), (1, 3 if case.ndim == 2 else 1, *shape), dtype=dtype)


def error(found: Tensor, truth: Tensor) -> float:
    """Largest difference, in standard deviations of the truth."""
    return float((found.double() - truth).abs().max() / truth.std())


def rounding(case: Case, image: Tensor, truth: Tensor) -> float:
    """What single precision itself does to a network: of three equally good ways to run plain torch the worst.

    The third changes the image by its last bit, which an instance norm of a constant channel makes 300 times as large.
    """
    network = made(case, tuple(image.shape[2:]))
    order = torch.channels_last if case.ndim == 2 else torch.channels_last_3d
    last_bit = 1 + (torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) - 0.5) * 2**-22
    found = [whole(network, image), whole(network, image * last_bit), whole(network, image.to(memory_format=order))]
    return max(error(f, truth) for f in found)


def shape_of(case: Case) -> tuple[int, ...]:
    return PLANE if case.ndim == 2 else VOLUME


def small_images() -> list[object]:
    return [pytest.param(c, s, id=f"{c.name}-{n}") for c in CASES for n, s in SIZES[c.ndim].items()]


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_tiles_are_as_close_to_the_truth_as_the_whole_image_in_single_precision(case: Case, image: str) -> None:
    check_single(case, IMAGES[image](shape_of(case)))


@pytest.mark.parametrize(("case", "shape"), small_images())
def test_odd_and_tiny_images_too(case: Case, shape: tuple[int, ...]) -> None:
    check_single(case, half_blank(shape))


def check_single(case: Case, image: Tensor) -> None:
    shape, single = tuple(image.shape[2:]), image.float()
    truth = whole(made(case, shape, torch.float64), single.double())
    allowed = max(FLOAT32, ROUNDINGS * rounding(case, single, truth))
    for tile in TILES[case.ndim] if max(shape) > 15 else (4,):
        assert error(by_passes(traced(case, shape, torch.float32), single, tile), truth) <= allowed, f"tile {tile}"


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_double_precision_nothing_is_left_but_its_own_rounding(case: Case) -> None:
    shape = shape_of(case)
    for make, tile in zip((half_blank, bright_corner), TILES[case.ndim], strict=True):
        image = make(shape)
        truth = whole(made(case, shape, torch.float64), image)
        assert error(by_passes(traced(case, shape, torch.float64), image, tile), truth) <= FLOAT64


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_it_makes_no_difference_which_values_are_kept_between_passes(case: Case) -> None:
    shape = shape_of(case)
    program, image = traced(case, shape, torch.float64), half_blank(shape)
    keep = some_cuts(program, torch.Generator().manual_seed(0))
    passes = plan_passes(program, keep)
    assert any(p.saved for p in passes) or len(passes) < 3
    truth = whole(made(case, shape, torch.float64), image)
    assert error(by_passes(program, image, TILES[case.ndim][0], keep), truth) <= FLOAT64


def some_cuts(program: Program, chance: torch.Generator) -> list[set[int]]:
    """For each pass but the last some values with positions that exist by then: the latest, and two at random."""
    depth, known = depths(program), settled(program)
    cuts = []
    for number in range(depth[program.output]):
        there = [
            n.output
            for n in program.nodes
            if depth[n.output] <= number and n.output not in known and n.inputs
            if all(len(axes) < 2 for axes in program.values[n.output].dims) and any(program.values[n.output].dims)
        ]
        picked = torch.randint(len(there), (2,), generator=chance).tolist() if there else []
        cuts.append({*there[-1:], *(there[i] for i in picked)})
    return cuts


def test_barriers_side_by_side_share_a_pass_and_those_behind_one_another_do_not() -> None:
    program = {c.name: traced(c, shape_of(c), torch.float32) for c in CASES if c.name in ("pspnet", "style", "deeplab")}
    passes = {name: [len(p.barriers) for p in plan_passes(p)] for name, p in program.items()}
    assert passes["pspnet"] == [4, 0]
    assert passes["deeplab"] == [1, 0]
    assert passes["style"] == [1] * 9 + [0]
