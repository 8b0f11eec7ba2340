"""Outlines lie on the slide, also when they were found on a result of the slide, or on a part of one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

import napari_seamless as ns
from napari_seamless.geometry import Region
from napari_seamless.models import Model


class Bright(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] > 0.5).to(torch.uint8)


def corners(path: Path) -> set[tuple[float, float]]:
    """First corner (x, y) of every outline."""
    outlines = [feature["geometry"]["coordinates"][0] for feature in json.loads(path.read_text())["features"]]
    return {(min(x for x, _ in outline), min(y for _, y in outline)) for outline in outlines}


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    """A square of 40 pixels at x 300, y 200."""
    pixels = np.zeros((400, 500), np.float32)
    pixels[200:240, 300:340] = 1
    tifffile.imwrite(tmp_path / "slide.tif", pixels, metadata=None)
    return tmp_path / "slide.tif"


def labels(image: Path) -> ns.Result:
    model = Model(name="bright", module=Bright(), title="t", kind="labels")
    return ns.run(model, image, scheduler="serial")


def test_labels_of_a_result_lie_on_the_slide(tmp_path: Path, slide: Path) -> None:
    crop = torch.nn.AvgPool2d(1, stride=1)
    cut = torch.nn.Sequential(crop, torch.nn.ConstantPad2d((-20, -20, -10, -10), 0.0))
    ns.run(cut, slide, output=tmp_path / "1.ome.zarr", scheduler="serial")
    labels(tmp_path / "1.ome.zarr").save(tmp_path / "o.geojson")
    assert corners(tmp_path / "o.geojson") == {(300, 200)}


def test_labels_of_a_part_lie_on_the_slide(tmp_path: Path, slide: Path) -> None:
    whole = ns.run(torch.nn.Identity(), slide, scheduler="serial")
    whole.save(tmp_path / "part.ome.zarr", region=Region.of((150, 300), (250, 400)))
    found = labels(tmp_path / "part.ome.zarr")
    found.save(tmp_path / "o.geojson")
    assert corners(tmp_path / "o.geojson") == {(300, 200)}
    found.save(tmp_path / "p.geojson", region=Region.of((40, 100), (30, 100)))
    assert corners(tmp_path / "p.geojson") == {(300, 200)}
