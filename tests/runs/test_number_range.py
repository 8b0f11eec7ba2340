"""Whole numbers of any size are kept, and what a network cannot compute with is refused; nothing is wrapped."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
import zarr

import napari_seamless as ns
from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.models import Model
from napari_seamless.program.trace import trace
from napari_seamless.program.whole_numbers import fits_32_bits
from napari_seamless.store.downsample import halve

EMPTY = np.zeros((1, 64, 64), np.float32)
FAR = 2**40 + 3


class Numbers(torch.nn.Module):
    """Labels that begin at a number."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.first = first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x[:, 0] * 0).long() + self.first


class TwoObjects(torch.nn.Module):
    """Two bars, numbered far apart."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.cumsum(torch.ones_like(x[:, 0]), 1)
        upper, lower = (rows < 10).long(), (rows > 50).long()
        return upper * 9 + lower * FAR


def labels_from(first: int) -> Model:
    return Model(name="numbers", module=Numbers(first), title="t", kind="labels")


@pytest.mark.parametrize("first", [2**31 - 1, 2**31 + 7, 2**40, -(2**31) - 1])
def test_labels_beyond_31_bits_are_kept(first: int, tmp_path: Path) -> None:
    output = tmp_path / "o.ome.zarr"
    ns.run(labels_from(first), EMPTY, scheduler="serial", output=output)
    reopened = ns.open_result(output)
    assert [np.unique(level).tolist() for level in reopened.levels] == [[first]] * len(reopened.levels)
    assert zarr.open_array(output / "labels/numbers/0", mode="r")[3, 4] == first


def test_numbers_of_objects_beyond_32_bits_are_measured_and_exported_as_they_are(tmp_path: Path) -> None:
    result = ns.run(TwoObjects(), EMPTY, scheduler="serial")
    assert ns.measure(result).objects["label"].tolist() == [9, FAR]
    features = json.loads(result.save(tmp_path / "o.geojson").read_text())["features"]
    assert [f["properties"]["classification"]["name"] for f in features] == ["class 9", f"class {FAR}"]
    again = result.save(tmp_path / "o.ome.zarr")
    assert np.unique(ns.open_result(again).levels[0]).tolist() == [0, 9, FAR]
    with pytest.raises(BadRequest, match=f"lie between 0 and 4294967295; got {FAR}; .* or save them as .ome.zarr"):
        result.save(tmp_path / "o.ome.tif")


def test_class_numbers_take_four_bytes() -> None:
    class Classes(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.argmax(dim=1)

    assert ns.prepare(Classes(), np.zeros((3, 64, 64), np.float32)).output_dtype == np.int32


@pytest.mark.parametrize(("dtype", "largest"), [("uint32", 2**24 + 1), ("int64", 2**31 + 7), ("uint64", 2**63)])
def test_numbers_of_objects_that_float32_cannot_tell_apart_are_refused(dtype: str, largest: int) -> None:
    image = np.zeros((1, 64, 64), dtype)
    image[0, 3, 4] = 2**24
    ns.run(torch.nn.Identity(), image, scheduler="serial")
    image[0, 3, 4] = largest
    with pytest.raises(InputMismatch, match=f"tells whole numbers apart up to 16777216; got {largest} of {dtype}"):
        ns.run(torch.nn.Identity(), image, scheduler="serial")


def test_coarse_levels_of_wide_images_are_rounded_means() -> None:
    draw = np.random.default_rng(0)
    for dtype in (np.int64, np.uint64):
        limits = np.iinfo(dtype)
        pixels = draw.integers(limits.min, limits.max, (1, 64, 64), dtype, endpoint=True)
        pixels[:, :32] >>= dtype(58)
        fours = pixels.reshape(1, 32, 2, 32, 2).transpose(0, 1, 3, 2, 4).reshape(-1, 4).tolist()
        expected = [round(Fraction(sum(four), 4)) for four in fours]
        assert halve(pixels, "image").ravel().tolist() == expected


def test_values_beyond_float32_are_refused() -> None:
    image = np.zeros((1, 64, 64))
    image[0, 3, 4] = 1e39
    with pytest.raises(InputMismatch, match=r"float32, up to 3\.4e\+38; got 1e\+39 of float64"):
        ns.run(torch.nn.Conv2d(1, 1, 3, padding=1), image, scheduler="serial")


class PlacesOfMaxima(torch.nn.Module):
    """Where in the plane each channel is largest, at every pixel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(2).argmax(2)[..., None, None].expand(-1, -1, *x.shape[2:])


@pytest.mark.parametrize(("rows", "fits"), [(2**15, True), (2**15 + 1, False)])
def test_places_in_a_plane_fit_32_bits_only_where_the_last_one_does(rows: int, fits: bool) -> None:
    assert fits_32_bits(trace(PlacesOfMaxima(), (1, 1, rows, 2**16))) == fits
