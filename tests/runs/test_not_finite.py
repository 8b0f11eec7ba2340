"""NaN in an image: only what is read for the pixels that were asked for matters, and is refused with its place."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import napari_seamless as ns
from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region
from napari_seamless.runs.polygons import Polygons
from napari_seamless.runs.roi_parts import AskedOutput, RoiPart

HALO, EDGE_OF_NAN = 3, 300
LAST_CLEAN = EDGE_OF_NAN - HALO
TRIANGLE = np.array([(10.0, 10.0), (10.0, 600.0), (290.0, 300.0)])


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 5, padding=2)).eval()


@pytest.fixture(scope="module")
def image() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(1, 600, 700)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(network: nn.Module, image: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(image)[None])[0].numpy()


@pytest.fixture
def broken(image: np.ndarray) -> np.ndarray:
    copy = image.copy()
    copy[0, EDGE_OF_NAN:] = np.nan
    return copy


def cut(pixels: np.ndarray, region: Region) -> np.ndarray:
    return pixels[(slice(None), *region.slices())]


def test_a_region_whose_pixels_read_no_nan_is_made_and_the_notice_says_what_was_left(
    network: nn.Module, broken: np.ndarray, expected: np.ndarray
) -> None:
    region = Region.of((100, LAST_CLEAN), (20, 600))
    result = ns.run(network, broken, region=region, scheduler="serial")
    np.testing.assert_allclose(np.asarray(result), cut(expected, region), atol=1e-5)
    assert "NaN or infinity lies beyond what was asked for" in " ".join(result.notices)


def test_one_row_more_reads_nan_and_is_refused_with_the_place_of_the_first(
    network: nn.Module, broken: np.ndarray
) -> None:
    with pytest.raises(InputMismatch, match=r"NaN or infinity in .* of the image, first at y = 300, x = 17; "):
        ns.run(network, broken, region=Region.of((100, LAST_CLEAN + 1), (20, 600)), scheduler="serial")


def test_only_what_lies_inside_an_outline_must_be_finite(
    network: nn.Module, image: np.ndarray, expected: np.ndarray
) -> None:
    broken = image.copy()
    broken[0, 280, 600] = np.inf  # in the box of the triangle, and outside of it
    result = ns.run(network, broken, roi=[TRIANGLE], scheduler="serial")
    inside = np.asarray(result) != 0
    assert inside.sum() > TRIANGLE.shape[0] * 1000
    of_place = expected[:, : inside.shape[1], : inside.shape[2]]
    np.testing.assert_allclose(np.asarray(result)[inside], of_place[inside], atol=1e-5)


def test_a_tile_made_in_part_is_made_again_by_the_next_run_and_keeps_what_it_had(
    network: nn.Module, broken: np.ndarray, expected: np.ndarray, tmp_path: Path
) -> None:
    first, second = Region.of((100, LAST_CLEAN), (20, 600)), Region.of((0, 90), (0, 90))
    for region in (first, second):
        ns.run(network, broken, region=region, output=tmp_path / "o.ome.zarr", scheduler="serial")
    reopened = ns.open_result(tmp_path / "o.ome.zarr")
    for region in (first, second):
        np.testing.assert_allclose(reopened.read(region), cut(expected, region), atol=1e-5)
    mended = ns.run(network, np.nan_to_num(broken), output=tmp_path / "m.ome.zarr", scheduler="serial")
    assert mended.store.whole.all()
    assert not reopened.whole.any()


def test_a_copy_of_tiles_made_in_part_is_continued_and_not_taken_as_whole(
    network: nn.Module, broken: np.ndarray, tmp_path: Path
) -> None:
    region, output = Region.of((0, 90), (0, 90)), tmp_path / "o.ome.zarr"
    result = ns.run(network, broken, region=region, output=output, scheduler="serial")
    result.save(tmp_path / "copy.ome.zarr", roi="computed")
    again = ns.open_result(tmp_path / "copy.ome.zarr")
    assert again.finished.any()
    assert not again.whole.any()


def test_what_was_asked_for_travels_to_other_processes() -> None:
    part = RoiPart(Region.of((0, 300), (0, 600)), Polygons.of([[TRIANGLE]]))
    asked, place = AskedOutput((part,)), Region.of((5, 200), (30, 400))
    there = pickle.loads(pickle.dumps(asked))
    np.testing.assert_array_equal(there.mask(place), part.mask(place))


def test_statistics_of_the_whole_image_need_all_of_it(broken: np.ndarray) -> None:
    with pytest.raises(InputMismatch, match=r"NaN or infinity in .* first at y = 300, x = 0; "):
        ns.run(nn.InstanceNorm2d(1), broken, region=Region.of((0, 90), (0, 90)), scheduler="serial")
