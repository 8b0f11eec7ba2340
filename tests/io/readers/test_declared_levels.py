"""The levels of an image lie where its file says, and not where the ratio of their shapes would put them."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray

import napari_seamless as ns
from napari_seamless.geometry import Levels, Region
from napari_seamless.interfaces import Pixels
from napari_seamless.io.readers.declared_levels import checked_levels

Array = NDArray[Any]


def speckled(height: int, width: int) -> Array:
    """Soft spots: neighbours are alike, places far apart are not."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 255, (-(-height // 12), -(-width // 12))).astype(np.uint8)
    return coarse.repeat(12, 0).repeat(12, 1)[:height, :width]


def ome_zarr(path: Path, levels: Sequence[Array], steps: Sequence[list[dict[str, Any]]], unit: str | None) -> Path:
    group = zarr.open_group(path, mode="w")
    for k, level in enumerate(levels):
        group.create_array(str(k), data=level)
    axes = [{"name": n, "type": "space", **({"unit": unit} if unit else {})} for n in "yx"]
    datasets = [{"path": str(k), "coordinateTransformations": step} for k, step in enumerate(steps)]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def scale(size: float) -> dict[str, Any]:
    return {"type": "scale", "scale": [size, size]}


def at(*place: float) -> dict[str, Any]:
    return {"type": "translation", "translation": list(place)}


def placed(path: Path) -> dict[str, Any]:
    attributes: Any = zarr.open_group(path, mode="r").attrs.asdict()
    first = attributes["ome"]["multiscales"][0]["datasets"][0]["coordinateTransformations"]
    return {step["type"]: step[step["type"]][-2:] for step in first}


def filled_up(fine: Array, step: int, shape: tuple[int, int]) -> Array:
    coarse = np.zeros(shape, fine.dtype)
    small = fine[::step, ::step]
    coarse[: small.shape[0], : small.shape[1]] = small
    return coarse


def test_a_result_of_a_level_filled_up_to_whole_chunks_has_the_declared_scale(tmp_path: Path) -> None:
    fine = speckled(1000, 1000)
    path = ome_zarr(
        tmp_path / "i.zarr", [fine, filled_up(fine, 2, (512, 512))], [[scale(0.5)], [scale(1)]], "micrometer"
    )
    info = ns.open_image(path).info
    assert info.levels.scale(1) == (2, 2)
    assert any("512 x 512" in notice and "fills the level up" in notice for notice in info.notices)
    ns.run(torch.nn.Identity(), path, level=1, output=tmp_path / "o.ome.zarr", scheduler="serial")
    assert placed(tmp_path / "o.ome.zarr")["scale"] == [1, 1]


def test_where_every_level_declares_the_same_scale_the_pixels_decide_for_the_shapes(tmp_path: Path) -> None:
    fine = speckled(1000, 600)
    path = ome_zarr(tmp_path / "i.zarr", [fine, fine[::4, ::4]], [[scale(0.5)], [scale(0.5)]], "micrometer")
    info = ns.open_image(path).info
    assert info.levels.scale(1) == (4, 4)
    assert any("the shapes are believed" in notice for notice in info.notices)


def test_a_scale_that_the_shapes_only_round_is_taken_and_not_spoken_of(tmp_path: Path) -> None:
    fine = speckled(1001, 603)
    path = ome_zarr(tmp_path / "i.zarr", [fine, fine[:1000:4, :600:4]], [[scale(0.3)], [scale(1.2)]], "micrometer")
    info = ns.open_image(path).info
    assert (info.levels.scale(1), info.notices) == ((4, 4), ())


def test_a_level_begins_where_the_file_says(tmp_path: Path) -> None:
    fine = speckled(400, 400)
    steps = [[scale(0.5), at(10, 20)], [scale(1), at(10, 20)]]
    path = ome_zarr(tmp_path / "i.zarr", [fine, fine[::2, ::2]], steps, "micrometer")
    info = ns.open_image(path).info
    assert (info.origin, info.levels.offset(1)) == ((10, 20), (0, 0))
    ns.run(torch.nn.Identity(), path, level=1, output=tmp_path / "o.ome.zarr", scheduler="serial")
    assert placed(tmp_path / "o.ome.zarr") == {"scale": [1, 1], "translation": [10, 20]}


def test_a_level_of_which_no_place_is_said_begins_at_the_edge_of_the_image(tmp_path: Path) -> None:
    fine = speckled(400, 400)
    steps = [[scale(0.5), at(10, 20)], [scale(1)]]
    info = ns.open_image(ome_zarr(tmp_path / "i.zarr", [fine, fine[::2, ::2]], steps, "micrometer")).info
    assert info.levels.offset(1) == (Fraction(1, 2), Fraction(1, 2))


@pytest.mark.parametrize("unit", ["micrometer", "nanometer", "angstrom", None])
def test_a_result_lies_over_its_image_and_a_result_of_it_over_both(tmp_path: Path, unit: str | None) -> None:
    size = 0.5 if unit else 1
    path = ome_zarr(tmp_path / "i.zarr", [speckled(400, 400)], [[scale(size), at(100, 7)]], unit)
    crop = torch.nn.AvgPool2d(41, stride=1)
    blank: Any = torch.nn.Sequential(Floats(), crop)
    ns.run(blank, path, output=tmp_path / "1.ome.zarr", scheduler="serial")
    ns.run(torch.nn.Identity(), tmp_path / "1.ome.zarr", output=tmp_path / "2.ome.zarr", scheduler="serial")
    first, second = placed(tmp_path / "1.ome.zarr"), placed(tmp_path / "2.ome.zarr")
    assert first == second
    assert first["translation"] == [100 + 20 * size, 7 + 20 * size]


def test_the_levels_of_a_result_double_whatever_their_rounded_shapes() -> None:
    levels = Levels(((2049, 1025),)).followed_by(((1025, 513), (513, 257)))
    assert [levels.scale(k) for k in range(3)] == [(1, 1), (2, 2), (4, 4)]
    assert levels.offset(2) == (Fraction(3, 2), Fraction(3, 2))


def test_shapes_rounded_down_have_a_whole_scale_and_a_region_stays_inside() -> None:
    levels = Levels(((1003, 1001), (250, 250)))
    assert levels.scale(1) == (4, 4)
    assert levels.to_level(Region.of((996, 1003), (0, 9)), 1) == Region.of((249, 250), (0, 3))
    assert levels.to_base(Region.of((249, 250), (0, 3)), 1) == Region.of((996, 1000), (0, 12))


def test_axes_in_two_units_are_given_in_one_and_an_axis_without_one_has_no_size(tmp_path: Path) -> None:
    for unit, size in (("nanometer", 0.4), (None, 0)):
        group = zarr.open_group(tmp_path / f"{unit}.zarr", mode="w")
        group.create_array("0", data=np.zeros((3, 8, 8), np.uint8))
        axes: list[dict[str, Any]] = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
        axes[0]["unit"] = unit
        steps = [{"type": "scale", "scale": [400, 0.1, 0.1]}]
        datasets = [{"path": "0", "coordinateTransformations": steps}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
        info = ns.open_image(tmp_path / f"{unit}.zarr").info
        assert info.unit == "micrometer"
        assert info.pixel_size == pytest.approx((size, 0.1, 0.1))
        assert ns.open_image(tmp_path / f"{unit}.zarr", plane={"z": 1}).info.pixel_size == (0.1, 0.1)


class Floats(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float()


def test_a_level_that_is_long_and_narrow_costs_no_more_pixels_to_check_than_others() -> None:
    asked: list[Region] = []

    def read(region: Region, level: int) -> Pixels:
        asked.append(region)
        return np.full((1, *region.shape), level, np.uint8)

    shapes = ((1_000_000, 70), (30, 35))
    checked_levels("a", shapes, ((1.0, 1.0), (2.0, 2.0)), (None, None), read)
    assert max(size for region in asked for size in region.shape) <= 4096
