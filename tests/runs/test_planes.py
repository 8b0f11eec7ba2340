"""Stacks and series: one plane, or one time point, as an image of its own."""

from __future__ import annotations

import pickle
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
import zarr
from scipy import ndimage

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image
from napari_seamless.models import Model, load_model
from napari_seamless.runs.planes import spatial_axes, with_image
from napari_seamless.runs.prepare import prepare
from napari_seamless.runs.start import start

STACK = np.random.default_rng(5).random((3, 4, 70, 90), np.float32)
CORNER = Region.of((3, 30), (7, 50))


def flat() -> torch.nn.Module:
    torch.manual_seed(0)
    first, last = torch.nn.Conv2d(1, 4, 5, padding=2), torch.nn.Conv2d(4, 2, 3, padding=1)
    return torch.nn.Sequential(first, torch.nn.ReLU(), last)


@pytest.mark.parametrize(("t", "z"), [*product((0, 2), (0, 3))])
def test_a_plane_of_a_stack_is_read_as_that_plane(t: int, z: int) -> None:
    source = open_image(STACK, axes="tzyx", plane={"t": t, "z": z})
    assert source.info.levels.shapes == ((70, 90),)
    np.testing.assert_array_equal(source.read(CORNER)[0], STACK[t, z][CORNER.slices()])


def test_every_plane_is_another_image_to_a_journal() -> None:
    planes = [{"t": t, "z": z} for t, z in product(range(3), range(4))]
    assert len({open_image(STACK, axes="tzyx", plane=plane).info.identity for plane in planes}) == len(planes)


def test_a_plane_of_a_file_and_of_a_coarser_level(tmp_path) -> None:
    zarr.create_array(tmp_path / "stack.zarr", data=STACK, dimension_names=("t", "z", "y", "x"))
    source = pickle.loads(pickle.dumps(open_image(tmp_path / "stack.zarr", plane={"t": 1, "z": 2})))
    np.testing.assert_array_equal(source.read(CORNER)[0], STACK[1, 2][CORNER.slices()])
    levels = [STACK[0], STACK[0, ::2, ::2, ::2]]
    coarse = open_image(levels, axes="zyx", plane={"z": 3})
    np.testing.assert_array_equal(coarse.read(Region.from_shape((35, 45)), 1)[0], levels[1][1])


@pytest.mark.parametrize(
    ("image", "axes", "plane", "says"),
    [
        (STACK, "tzyx", {"z": 4}, "got z=4; 'array' has 0 to 3"),
        (STACK, "tzyx", {"t": 3}, "got t=3; 'array' has 0 to 2"),
        (STACK[0, 0], None, {"z": 0}, "none: it is flat"),
        (STACK[0], "zyx", {"t": 1}, "'array' has no axis t"),
        (STACK, "tzyx", {"c": 1}, "along t or z; got c"),
    ],
)
def test_a_plane_that_is_not_there_is_refused(image, axes, plane, says) -> None:
    with pytest.raises(BadRequest, match=says):
        open_image(image, axes=axes, plane=plane)


def test_a_run_on_a_plane_is_a_run_on_that_plane_alone() -> None:
    expected = np.asarray(ns.run(flat(), STACK[1, 2], scheduler="serial"))
    found = ns.run(flat(), STACK, axes="tzyx", plane={"t": 1, "z": 2}, scheduler="serial", tile=64)
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-6)


def test_a_program_goes_on_to_the_next_plane_without_being_traced_again() -> None:
    first = prepare(flat(), open_image(STACK, axes="tzyx", plane={"z": 0}))
    second = with_image(first, open_image(STACK, axes="tzyx", plane={"t": 2, "z": 1}))
    assert second.program is first.program
    run = start(second, scheduler="serial")
    run.wait()
    expected = np.asarray(ns.run(flat(), STACK[2, 1], scheduler="serial"))
    np.testing.assert_allclose(np.asarray(run.result()), expected, atol=1e-6)
    with pytest.raises(InputMismatch, match=r"has the size \(20, 90\), not \(70, 90\)"):
        with_image(first, STACK[0, 0, :20])


def test_how_many_axes_a_network_wants_is_told_by_its_weights() -> None:
    volume = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    assert [spatial_axes(load_model(m)) for m in (flat(), volume, torch.nn.ReLU())] == [2, 3, None]
    assert spatial_axes(load_model("nuclei")) == 2


def test_a_plane_in_a_shell(tmp_path) -> None:
    stack = (STACK[..., None].repeat(3, -1) * 255).astype(np.uint8)
    zarr.create_array(tmp_path / "stack.zarr", data=stack, dimension_names=("t", "z", "y", "x", "c"))
    words = ["run", tmp_path / "stack.zarr", "--model", "stain", "--plane", "t=1,z=2", "--output", tmp_path / "o.zarr"]
    assert main([str(word) for word in (*words, "--scheduler", "serial")]) == 0
    expected = np.asarray(ns.run("stain", stack[1, 2], scheduler="serial"))
    found = open_image(tmp_path / "o.zarr")
    np.testing.assert_array_equal(found.read(Region.from_shape(found.info.levels.shapes[0])), expected)


class Bright(torch.nn.Module):
    """1 where a pixel is above a half, else 0."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.full_like(image, 0.5), image], 1).argmax(1).to(torch.uint8)


@pytest.fixture(scope="module")
def bright(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The labels of plane z = 2 at t = 1, on disk."""
    path = tmp_path_factory.mktemp("bright") / "bright.ome.zarr"
    model = Model("bright", Bright(), "Bright", kind="labels")
    ns.run(model, STACK, axes="tzyx", plane={"t": 1, "z": 2}, scheduler="serial", output=path)
    return path


def means(result: Any, image: Any) -> Any:
    return ns.measure(result, image).objects["mean_channel_0"]


@pytest.mark.parametrize("kind", ["series", "stack", "plane", "flat", "zarr"])
def test_objects_of_a_plane_have_the_means_of_that_plane(kind: str, bright: Path, tmp_path: Path) -> None:
    zarr.create_array(tmp_path / "stack.zarr", data=STACK, dimension_names=("t", "z", "y", "x"))
    image = {
        "series": open_image(STACK, axes="tzyx"),
        "stack": open_image(STACK[1], axes="zyx"),
        "plane": open_image(STACK, axes="tzyx", plane={"t": 1, "z": 2}),
        "flat": STACK[1, 2],
        "zarr": tmp_path / "stack.zarr",
    }[kind]
    numbers, count = ndimage.label(STACK[1, 2] > 0.5)
    np.testing.assert_allclose(means(bright, image), ndimage.mean(STACK[1, 2], numbers, range(1, count + 1)), rtol=1e-6)


def test_another_plane_can_be_measured_by_saying_so(bright: Path) -> None:
    other = means(bright, open_image(STACK, axes="tzyx", plane={"t": 1, "z": 3}))
    np.testing.assert_array_equal(other, means(bright, STACK[1, 3]))


def test_a_file_with_time_points_is_measured_at_the_one_that_the_result_was_made_of(
    bright: Path, tmp_path: Path
) -> None:
    file = tmp_path / "series.ome.tif"
    tifffile.imwrite(file, STACK, metadata={"axes": "TZYX"})
    assert open_image(file).info.times == 3
    np.testing.assert_array_equal(means(bright, file), means(bright, STACK[1, 2]))
    np.testing.assert_array_equal(means(bright, open_image(file, plane={"t": 0})), means(bright, STACK[0, 2]))


def test_an_image_without_the_plane_that_a_result_was_made_of_is_not_measured(bright: Path) -> None:
    with pytest.raises(BadRequest, match="got z=2; 'array' has 0 to 1"):
        ns.measure(bright, open_image(STACK[0, :2], axes="zyx"))
