"""Each operator by itself: tiled equals whole, in single and double precision, and bit for bit where it only moves."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from napari_seamless.program.graph import Program
from napari_seamless.program.reduced_precision import in_reduced_precision
from napari_seamless.program.trace import trace
from operator_networks import CASES, Alone, Between, Case, image
from oracle import by_passes, relative_error, whole

FLOAT32, FLOAT64 = 1e-5, 1e-12
TILES = (16, 13, 7)


@cache
def traced(case: Case, dtype: torch.dtype) -> Program:
    return trace(Between(case.function).to(dtype), (1, 4, *case.shape), dtype=dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_tiles_give_the_whole_image(case: Case) -> None:
    for dtype, allowed in ((torch.float32, FLOAT32), (torch.float64, FLOAT64)):
        network, pixels = Between(case.function).to(dtype), image(case, dtype)
        program, expected = traced(case, dtype), whole(network, pixels)
        for tile in TILES:
            found = by_passes(program, pixels, tile)
            assert found.shape == expected.shape
            assert relative_error(found.numpy(), expected) <= allowed, f"{dtype}, tile {tile}"


@pytest.mark.parametrize("case", [c for c in CASES if c.exact], ids=lambda c: c.name)
def test_what_only_moves_numbers_rounds_none(case: Case) -> None:
    network, pixels = Alone(case.function), image(case)
    program = trace(network, tuple(pixels.shape))
    for tile in TILES:
        assert np.array_equal(by_passes(program, pixels, tile).numpy(), whole(network, pixels).numpy())


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_in_reduced_precision_it_runs_too(case: Case) -> None:
    """Places of maxima and sorted channels may differ where two numbers round to one; the rest is near."""
    network, pixels = Between(case.function), image(case)
    program = in_reduced_precision(traced(case, torch.float32), torch.bfloat16)
    found, expected = by_passes(program, pixels, 16), whole(network, pixels)
    assert found.dtype == expected.dtype
    assert float((found - expected).abs().mean() / expected.abs().max()) < 0.02
