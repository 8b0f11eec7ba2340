"""What every source must do, as tests to inherit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Source
from napari_seamless.testing.conformance.regions import regions_inside

LARGEST_PIXELS = 4_000_000


class SourceConformance(ABC):
    """Inherit, and say how to make a source; a small one will do (each level is read whole, if below 4 Mpixel)."""

    @abstractmethod
    def make_source(self, tmp_path: Path) -> Source:
        """A new open source; the test closes it."""

    @pytest.fixture
    def source(self, tmp_path: Path):  # type: ignore[no-untyped-def]
        """The source under test."""
        source = self.make_source(tmp_path)
        yield source
        source.close()

    def test_it_is_a_source(self, source: Source) -> None:
        assert isinstance(source, Source)

    def test_every_level_has_its_shape_channels_and_dtype(self, source: Source) -> None:
        for level in _small_levels(source):
            pixels = source.read(Region.from_shape(source.info.levels.shape(level)), level)
            assert pixels.shape == (source.info.channels, *source.info.levels.shape(level))
            assert pixels.dtype == source.info.dtype

    @settings(
        max_examples=20,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_a_region_has_the_pixels_of_the_whole(self, source: Source, data: st.DataObject) -> None:
        level = data.draw(st.sampled_from(_small_levels(source)))
        shape = source.info.levels.shape(level)
        region = data.draw(regions_inside(shape))
        whole = source.read(Region.from_shape(shape), level)
        np.testing.assert_array_equal(source.read(region, level), whole[(slice(None), *region.slices())])

    def test_what_it_returns_belongs_to_the_caller(self, source: Source) -> None:
        level = _small_levels(source)[-1]
        region = Region.from_shape(source.info.levels.shape(level))
        first = source.read(region, level)
        kept = first.copy()
        first[...] = 0
        np.testing.assert_array_equal(source.read(region, level), kept)

    @pytest.mark.parametrize("side", ["before", "beyond"])
    def test_a_region_that_leaves_the_image_is_refused_and_not_clamped(self, source: Source, side: str) -> None:
        shape = source.info.levels.shape(0)
        last = {"before": (-1, 1), "beyond": (shape[-1] - 1, shape[-1] + 1)}[side]
        with pytest.raises(BadRequest, match=r"got"):
            source.read(Region.of(*((0, 1) for _ in shape[:-1]), last), 0)

    def test_several_threads_may_read_at_once(self, source: Source) -> None:
        level = _small_levels(source)[-1]
        whole = source.read(Region.from_shape(source.info.levels.shape(level)), level)
        cell = tuple(max(1, n // 3) for n in whole.shape[1:])
        grid = Grid(whole.shape[1:], cell)
        regions = [grid.region(c) for c in cells_of(Region.from_shape(grid.counts))] * 2
        with ThreadPoolExecutor(4) as pool:
            parts = list(pool.map(lambda region: source.read(region, level), regions))
        for region, part in zip(regions, parts, strict=True):
            np.testing.assert_array_equal(part, whole[(slice(None), *region.slices())])

    def test_reading_does_not_change_its_identity(self, source: Source) -> None:
        before = source.info.identity
        source.read(Region.of(*((0, 1) for _ in range(source.info.ndim))), 0)
        assert before
        assert source.info.identity == before


def _small_levels(source: Source) -> list[int]:
    levels = source.info.levels
    small = [k for k in range(len(levels)) if Region.from_shape(levels.shape(k)).size <= LARGEST_PIXELS]
    assert small, "the conformance suite needs a source with a level below 4 Mpixel"
    return small
