"""The engine's manners: threads, stopping, what it refuses to read, and being sent elsewhere."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
import torch

from napari_seamless import run
from napari_seamless.errors import DeviceUnavailable, InputMismatch, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.program.trace import trace
from napari_seamless.runtime.engine import TorchEngine, resolve_device
from napari_seamless.runtime.engine.blended import BlendedEngine
from napari_seamless.runtime.engine.denormals import flushes_denormals
from networks import CASES, image_for, made
from oracle import Tiled

WRITE = Region.of((8, 40), (0, 24))


@pytest.fixture(scope="module")
def tiled() -> Tiled:
    case = CASES[0]
    return Tiled.of(made(case), image_for(case, (64, 56)))


def test_one_tile_is_read_while_another_is_read_or_computed(tiled: Tiled) -> None:
    both = Barrier(2, timeout=60)

    def read(region: Region) -> np.ndarray:
        both.wait()
        return tiled.read(region)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(tiled.engine.compute, tiled.engine.tile(WRITE), read, lambda: False) for _ in range(2)]
    first, second = (job.result() for job in jobs)
    assert np.array_equal(first, second)
    assert np.array_equal(first, tiled.region(WRITE))


def test_a_run_that_is_stopped_ends_between_two_operators(tiled: Tiled) -> None:
    asked = iter([False, False, True])
    with pytest.raises(RunCancelled, match="finished tiles are kept"):
        tiled.engine.compute(tiled.engine.tile(WRITE), tiled.read, lambda: next(asked))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_pixels_that_are_not_numbers_are_refused_with_their_region(tiled: Tiled, value: float) -> None:
    def read(region: Region) -> np.ndarray:
        pixels = tiled.read(region).copy()
        pixels[0, 0, 0] = value
        return pixels

    with pytest.raises(InputMismatch, match=r"NaN or infinity in y\[0, "):
        tiled.engine.compute(tiled.engine.tile(WRITE), read, lambda: False)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", ">u2", "float16", "float64"])
def test_pixels_of_every_dtype_keep_their_values(dtype: str) -> None:
    image = np.arange(2 * 6 * 5).reshape(2, 6, 5).astype(dtype)
    engine = TorchEngine(trace(torch.nn.Identity(), (1, 2, 6, 5)), "cpu")
    found = engine.compute(
        engine.tile(Region.of((1, 5), (0, 5))), lambda r: image[(slice(None), *r.slices())], lambda: False
    )
    assert np.array_equal(found, image[:, 1:5].astype(np.float32))


def test_an_engine_that_was_sent_elsewhere_computes_the_same(tiled: Tiled) -> None:
    engine = pickle.loads(pickle.dumps(tiled.engine))
    assert np.array_equal(engine.compute(engine.tile(WRITE), tiled.read, lambda: False), tiled.region(WRITE))


def test_the_pixels_that_were_read_are_not_written_to(tiled: Tiled) -> None:
    before = tiled.image.clone()
    tiled.region(WRITE)
    assert torch.equal(tiled.image, before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="no cuda; use auto or cpu"):
        resolve_device("cuda")


def test_a_device_that_nobody_knows_is_refused() -> None:
    with pytest.raises(DeviceUnavailable, match="auto, cpu, cuda, mps or xpu; got 'gpu0'"):
        resolve_device("gpu0")


@pytest.mark.parametrize("flushes", [False, True])
def test_denormals_are_in_the_callers_thread_what_they_were_before_and_zero_while_tiles_are_computed(
    flushes: bool,
) -> None:
    seen = []

    class Look(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(flushes_denormals())
            return x

    torch.set_flush_denormal(flushes)
    try:
        engine = BlendedEngine(Look().eval(), (1, 64, 64), (64, 64), 0.0, "cpu")
        assert flushes_denormals() == flushes
        seen.clear()
        write = Region.of((0, 64), (0, 64))
        engine.compute(engine.tile(write), lambda r: np.zeros((1, *r.shape), np.float32), lambda: False)
        assert seen == [True]
        assert flushes_denormals() == flushes
        assert bool(torch.full((1,), 1e-40) * 1 == 0) == flushes
    finally:
        torch.set_flush_denormal(False)


def test_a_whole_run_leaves_the_callers_thread_as_it_was() -> None:
    assert not flushes_denormals()
    run(torch.nn.Conv2d(1, 1, 3).eval(), np.zeros((1, 40, 40), np.float32), scheduler="serial", device="cpu")
    assert not flushes_denormals()
