"""What can be run can be asked about first: `info` and `explain` read an image as `run` does."""

from __future__ import annotations

import re
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.cli import commands, main
from napari_seamless.geometry import Region
from napari_seamless.store import create_store, open_store

READING = {"scene", "axes", "plane"}
"""How an image is read."""
CUTTING = {"region", "level", "budget", "device", "tile", "channels", "pixel_size", "precision"}
"""What else of a run changes what `explain` says of it."""


@pytest.fixture
def stack(tmp_path: Path) -> str:
    """A TIFF file of 9 pages of 120 x 200 that do not say what they are."""
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, np.zeros((9, 120, 200), np.uint8), photometric="minisblack", metadata={"axes": "QYX"})
    return str(path)


@pytest.fixture
def scenes(tmp_path: Path) -> str:
    """An OME-TIFF file of two images, of 2 x 60 x 80 and of 2 x 90 x 70."""
    path = tmp_path / "scenes.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as writer:
        for shape in ((2, 60, 80), (2, 90, 70)):
            writer.write(np.zeros(shape, np.uint8), photometric="minisblack", metadata={"axes": "CYX"})
    return str(path)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def said(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    assert main(list(command)) == 0
    return capsys.readouterr().out


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


@pytest.fixture
def network(tmp_path: Path) -> str:
    """A network of two channels in a file."""
    path = tmp_path / "network.pt2"
    shape = (torch.rand(1, 2, 64, 64),)
    sizes = {"input": {2: torch.export.Dim("y", min=8, max=4096), 3: torch.export.Dim("x", min=8, max=4096)}}
    torch.export.save(torch.export.export(small_network().eval(), shape, dynamic_shapes=sizes), path)
    return str(path)


def test_what_may_be_said_to_run_may_be_said_when_asking() -> None:
    of = {name: set(signature(getattr(commands, name)).parameters) for name in ("run", "info", "explain")}
    assert of["run"] >= READING | CUTTING
    assert of["info"] >= READING
    assert of["explain"] >= READING | CUTTING


def test_info_reads_an_image_as_it_is_told_to(stack: str, scenes: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert re.search(r"level 0 +9 x 120 x 200  \(z, y, x\)", said(capsys, "info", stack, "--axes", "zyx"))
    assert re.search(r"level 0 +120 x 200  \(y, x\)", said(capsys, "info", stack, "--axes", "zyx", "--plane", "z=4"))
    assert re.search(r"times +9;", said(capsys, "info", stack, "--axes", "tyx"))
    assert re.search(r"level 0 +90 x 70 ", said(capsys, "info", scenes, "--scene", "1"))


def test_explain_takes_channels_and_scenes_as_run_does(
    stack: str, scenes: str, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--axes", "cyx", "--channels", "3,1", "--tile", "64", "--device", "cpu")
    assert "120 x 200 (y x x), 2 channels" in said(capsys, "explain", stack, "--model", network, *chosen)
    assert "90 x 70 (y x x), 2 channels" in said(
        capsys, "explain", scenes, "--model", network, "--scene", "1", "--tile", "64", "--device", "cpu"
    )
    assert main(["explain", stack, "--model", network, "--axes", "cyx", "--device", "cpu"]) == 4
    assert "2 channels" in capsys.readouterr().err


@pytest.mark.parametrize("bounds", [((0, 120), (0, 200)), ((0, 64), (64, 128)), ((60, 70), (10, 130))])
def test_explain_counts_the_tiles_that_a_run_of_a_region_makes(bounds: tuple[tuple[int, int], ...]) -> None:
    image, region = np.zeros((2, 120, 200), np.float32), Region.of(*bounds)
    asked = ns.explain(small_network(), image, region=region, tile=64, device="cpu")
    made = ns.run(small_network(), image, region=region, tile=64, device="cpu", scheduler="serial")
    assert asked.tiles == made.report.tiles


def test_explain_names_the_region_and_refuses_one_outside(
    stack: str, network: str, capsys: pytest.CaptureFixture[str]
) -> None:
    chosen = ("--axes", "cyx", "--channels", "0,1", "--tile", "64", "--device", "cpu")
    told = said(capsys, "explain", stack, "--model", network, *chosen, "--region", "60:70,10:130")
    assert re.search(r"^region +10 x 120 of it, y\[60, 70\) x\[10, 130\)$", told, re.MULTILINE)
    assert re.search(r"^tile .*; 6 tiles$", told, re.MULTILINE)
    assert main(["explain", stack, "--model", network, *chosen, "--region", "60:170,10:130"]) == 2
    assert "a region must lie inside the image" in capsys.readouterr().err


def test_info_says_of_a_result_which_model_made_it_and_how_much_of_it_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    slide, output = tmp_path / "slide.tif", tmp_path / "out.ome.zarr"
    tifffile.imwrite(slide, np.zeros((1024, 1536, 3), np.uint8), photometric="rgb", tile=(256, 256))
    run = ("run", str(slide), "-m", "stain", "-o", str(output), "--device", "cpu", "--scheduler", "serial")
    said(capsys, *run, "--tile", "512", "--region", "0:512,0:1024")
    told = said(capsys, "info", str(output))
    assert re.search(r"^made by +stain, of slide\.tif; same as on the whole image$", told, re.MULTILINE)
    assert re.search(
        r"^finished +33\.33 % of it; the rest is empty: not asked for, or not reached$", told, re.MULTILINE
    )
    assert re.search(r"^asked for +the region y\[0, 512\) x\[0, 1024\)$", told, re.MULTILINE)
    assert re.search(r"^options +region=0:512,0:1024, tile=512", told, re.MULTILINE)
    copy = tmp_path / "copy.ome.zarr"
    said(capsys, "export", str(output), str(copy))
    assert re.search(r"^finished +all of it$", said(capsys, "info", str(copy)), re.MULTILINE)  # of what was asked for
    said(capsys, *run)
    told = said(capsys, "info", str(output))
    assert re.search(r"^finished +all of it$", told, re.MULTILINE)
    assert re.search(r"^asked for +all of it$", told, re.MULTILINE)
    assert "made by" not in said(capsys, "info", str(slide))


def test_info_says_of_a_result_which_outlines_were_asked_for_and_what_was_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    class Brightest(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(1, keepdim=True)

    triangle = {"type": "Polygon", "coordinates": [[[10, 10], [90, 10], [10, 90], [10, 10]]]}
    drawn = {"type": "Feature", "properties": {"name": "tumour"}, "geometry": triangle}
    pixels = np.random.default_rng(0).integers(0, 255, (3, 100, 120), np.uint8)
    output = tmp_path / "out.ome.zarr"
    result = ns.run(Brightest(), pixels, axes="cyx", roi=drawn, output=output, device="cpu", scheduler="serial")
    np.testing.assert_array_equal(ns.open_image(output).read(Region.of((0, 100), (0, 120)))[0], pixels.argmax(0))
    assert ns.measure(result).areas[0].pixels > 0, "an argmax that keeps its axis gives labels"
    told = said(capsys, "info", str(output))
    assert re.search(r"^asked for +1 outline \(tumour\)$", told, re.MULTILINE)
    assert re.search(r"^notice +the network gives whole numbers in one channel, .* labels", told, re.MULTILINE)


def test_info_changes_nothing_in_a_result_whose_writer_died(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = ns.run("stain", np.zeros((600, 700, 3), np.uint8), device="cpu", scheduler="serial")
    path, first = tmp_path / "out.ome.zarr", Region.of((0, 512), (0, 512))
    store = create_store(path, result.store.spec)
    store.write(first, np.full((2, 512, 512), 200, store.spec.dtype))
    store.commit(first)
    del store  # without the coarse levels
    before = contents(path)
    assert re.search(r"^finished +\d+ % of it", said(capsys, "info", str(path)), re.MULTILINE)
    assert contents(path) == before
    open_store(path)
    assert contents(path) != before
