"""Levels for images that have none."""

from __future__ import annotations

import pickle
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile

from napari_seamless.errors import BadRequest, InputDamaged
from napari_seamless.geometry import Region, halved
from napari_seamless.interfaces import GrowingSource, Pixels, Source
from napari_seamless.io.readers import coarse_levels, open_image
from napari_seamless.io.readers.coarse_levels import Coarser, halved_pixels
from napari_seamless.testing.conformance import SourceConformance
from sources_oracle import assert_reads_equal, texture


def coarser(image: Any, monkeypatch: pytest.MonkeyPatch, kept: int = 1 << 20, cell: int = 32) -> Coarser:
    monkeypatch.setattr(coarse_levels, "COARSEST", 10)
    return Coarser(open_image(image), kept, cell)


def pyramid(image: Pixels, count: int) -> list[Pixels]:
    """Means of 2 x 2, in floating point and rounded, as a plain reading of the rule makes them."""
    levels = [image]
    for _ in range(count - 1):
        finer = levels[-1].astype(float)
        rows, columns = finer.shape[1:]
        spans = [[(lo, min(lo + 2, n)) for lo in range(0, n, 2)] for n in (rows, columns)]
        means = [[finer[:, a:b, c:d].mean(axis=(1, 2)) for c, d in spans[1]] for a, b in spans[0]]
        mean = np.moveaxis(np.array(means), 2, 0)
        levels.append((np.floor(mean + 0.5) if image.dtype.kind in "iu" else mean).astype(image.dtype))
    return levels


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32"])
@pytest.mark.parametrize("kept", [1 << 20, 2000, 1])
def test_every_level_is_the_mean_of_the_one_before(dtype: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    image = texture(3, 101, 77, dtype=dtype)
    if dtype == "int32":
        image //= 1000
    source = coarser(image, monkeypatch, kept)
    assert source.info.levels.shapes == halved((101, 77), 10)
    for level, expected in enumerate(pyramid(image, len(source.info.levels))):
        for region in ((0, 1), (3, 7), (0, expected.shape[1])):
            part = Region.of((min(region[0], expected.shape[1] - 1), min(region[1], expected.shape[1])), (0, 3))
            np.testing.assert_allclose(
                source.read(part, level),
                expected[(slice(None), *part.slices())],
                rtol=1e-5,
                atol=1e-6,
                err_msg=f"{level}",
            )


def test_a_level_is_the_same_in_whatever_order_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    image = texture(1, 90, 70)
    last = len(pyramid(image, 5)) - 1
    whole = coarser(image, monkeypatch).read(Region.from_shape(halved((90, 70), 10)[last]), last)
    source = coarser(image, monkeypatch)
    source.read_preview(Region.from_shape(whole.shape[1:]), last)
    source.read(Region.of((40, 45), (30, 35)), 1)
    np.testing.assert_array_equal(source.read(Region.from_shape(whole.shape[1:]), last), whole)


def test_it_grows_in_the_background_to_what_a_read_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    image = texture(3, 200, 150)
    source, done = coarser(image, monkeypatch), threading.Event()
    last = len(source.info.levels) - 1
    seen = source.overview
    assert source.fraction == 0
    source.grow(lambda: done.set() if source.fraction == 1 else None)
    source.grow(lambda: None)
    assert done.wait(30)
    np.testing.assert_array_equal(seen, pyramid(image, last + 1)[last])
    source.close()


class Counted:
    """A source that knows how many pixels were read of it, and can be damaged in its upper half."""

    def __init__(self, source: Source, damaged: bool = False) -> None:
        self._source, self.pixels, self._damaged = source, 0, damaged
        self.info = replace(source.info, name="counted")

    def read(self, region: Region, level: int = 0) -> Pixels:
        self.pixels += region.size
        if self._damaged and region.intervals[0].lo < self.info.levels.shape(0)[0] // 2:
            raise InputDamaged("half of it is gone")
        return self._source.read(region, level)

    def close(self) -> None:
        self._source.close()


def test_a_glance_costs_next_to_nothing_and_shows_something_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_levels, "LARGEST_PREVIEW", 2000)
    monkeypatch.setattr(coarse_levels, "COARSEST", 10)
    ramp = np.add.outer(np.arange(400), np.arange(400)).astype(np.uint16)
    counted = Counted(open_image(ramp))
    source = Coarser(counted, 5_000, 64)
    for level, shape in enumerate(source.info.levels.shapes[1:], start=1):
        seen = source.read_preview(Region.from_shape(shape), level)[0].astype(float)
        exact = pyramid(ramp[None], level + 1)[level][0]
        assert seen.shape == shape
        assert np.abs(seen - exact).max() < 100
    assert counted.pixels <= coarse_levels.SAMPLES**2


def test_what_cannot_be_read_stays_black_and_the_rest_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse_levels, "COARSEST", 10)
    source, ended = Coarser(Counted(open_image(np.full((200, 200), 90, np.uint8)), damaged=True), 1 << 20, 32), []
    source.grow(lambda: ended.append(source.fraction))
    source._growth.join(30)  # type: ignore[union-attr]
    assert 0.3 < ended[-1] < 0.7
    assert (source.overview[0, 0] == 0).all()
    assert (source.overview[0, -1] == 90).all()
    with pytest.raises(InputDamaged, match="half of it is gone"):
        source.read(Region.of((0, 1), (0, 1)), 2)


def test_a_file_of_one_large_level_gets_more_of_them_and_others_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coarse_levels, "NEEDED", 10_000)
    monkeypatch.setattr(coarse_levels, "COARSEST", 32)
    tifffile.imwrite(tmp_path / "large.tif", texture(120, 130), tile=(32, 32), compression="zlib")
    tifffile.imwrite(tmp_path / "small.tif", texture(90, 80), tile=(32, 32), compression="zlib")
    large, small = open_image(tmp_path / "large.tif"), open_image(tmp_path / "small.tif")
    assert (len(large.info.levels), len(small.info.levels)) == (4, 1)
    assert isinstance(large, GrowingSource)
    assert not isinstance(small, GrowingSource)
    assert large.info.format == "TIFF"
    assert_reads_equal(large, texture(1, 120, 130), count=3)
    copy = pickle.loads(pickle.dumps(large))
    np.testing.assert_array_equal(copy.read(Region.of((3, 15), (2, 9)), 3), large.read(Region.of((3, 15), (2, 9)), 3))
    assert copy.info == large.info
    assert 0 < large.reads.needed <= 120 * 130 * 2
    with pytest.raises(BadRequest, match="must lie inside"):
        large.read_preview(Region.of((0, 16), (0, 5)), 3)
    for source in (copy, large, small):
        source.close()


def test_a_size_that_no_image_has_gets_no_levels() -> None:
    lazy = da.zeros((2**62, 90), dtype="u1", chunks=(2**61, 90))
    assert len(coarse_levels.with_coarser_levels(open_image(lazy)).info.levels) == 1


def test_halving_keeps_the_type_and_rounds_up() -> None:
    np.testing.assert_array_equal(halved_pixels(np.array([[[0, 1], [1, 0]]], np.uint8)), [[[1]]])
    assert halved_pixels(np.full((1, 3, 3), 65535, np.uint16)).tolist() == [[[65535, 65535]] * 2]
    assert halved_pixels(np.ones((1, 2, 2), bool)).dtype == bool


class TestCoarser(SourceConformance):
    def make_source(self, tmp_path: Path) -> Source:  # noqa: ARG002
        return Coarser(open_image(np.tile(texture(3, 40, 50), (1, 30, 30))), 200_000, 256)
