"""What every engine must do, as tests to inherit."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_seamless.errors import RegionUnreadable, RunCancelled
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import Engine, Pixels, Source, TimedEngine
from napari_seamless.testing.conformance.regions import regions_inside


class EngineConformance(ABC):
    """Inherit, and say how to make an engine that makes pixels, and the image that it is for; small ones will do.

    `tolerance` is by how much a tile may differ from the same pixels of the whole: 0 where sums are exact.
    """

    tolerance = 0.0

    @abstractmethod
    def make_engine(self) -> Engine:
        """A new engine for the image of `make_source`."""

    @abstractmethod
    def make_source(self) -> Source:
        """The image, of which level 0 is read."""

    @abstractmethod
    def output_shape(self) -> tuple[int, ...]:
        """The spatial shape, ((z,) y, x), of the output over the whole image."""

    @pytest.fixture
    def engine(self) -> Engine:
        """The engine under test."""
        return self.make_engine()

    @pytest.fixture
    def source(self):  # type: ignore[no-untyped-def]
        """Its image."""
        source = self.make_source()
        yield source
        source.close()

    def test_a_tile_writes_what_was_asked_for_and_reads_inside_the_image(self, engine: Engine, source: Source) -> None:
        image = Region.from_shape(source.info.levels.shape(0))
        for write in _parts(self.output_shape()):
            tile = engine.tile(write)
            assert tile.write == write
            assert image.contains(tile.read)

    def test_it_reads_once_a_tile_in_the_callers_thread(self, engine: Engine, source: Source) -> None:
        reads: list[tuple[Region, str]] = []

        def read(region: Region) -> Pixels:
            reads.append((region, threading.current_thread().name))
            return source.read(region)

        tile = engine.tile(_parts(self.output_shape())[0])
        engine.compute(tile, read, _never)
        assert reads == [(tile.read, threading.current_thread().name)]

    @settings(
        max_examples=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_a_tile_has_the_pixels_of_the_whole(self, engine: Engine, source: Source, data: st.DataObject) -> None:
        write = data.draw(regions_inside(self.output_shape()))
        whole, part = (_made(engine, source, w) for w in (Region.from_shape(self.output_shape()), write))
        assert part.shape == (whole.shape[0], *write.shape)
        assert part.dtype == whole.dtype
        same = whole[(slice(None), *write.slices())]
        assert np.allclose(part.astype(np.float64), same.astype(np.float64), rtol=0, atol=self.tolerance)

    def test_what_it_returns_belongs_to_the_caller(self, engine: Engine, source: Source) -> None:
        write = _parts(self.output_shape())[0]
        first = _made(engine, source, write)
        before = first.copy()
        first[...] = 0
        np.testing.assert_array_equal(_made(engine, source, write), before)

    def test_what_it_is_given_to_read_may_be_of_a_read_only_array(self, engine: Engine, source: Source) -> None:
        tile = engine.tile(_parts(self.output_shape())[0])
        pixels = source.read(tile.read)
        before = pixels.copy()
        pixels.flags.writeable = False
        engine.compute(tile, lambda _: pixels, _never)
        np.testing.assert_array_equal(pixels, before)

    def test_a_stop_ends_a_tile(self, engine: Engine, source: Source) -> None:
        tile = engine.tile(_parts(self.output_shape())[0])
        with pytest.raises(RunCancelled):
            engine.compute(tile, source.read, lambda: True)

    def test_it_goes_on_after_a_stop_and_after_an_image_that_could_not_be_read(
        self, engine: Engine, source: Source
    ) -> None:
        write = _parts(self.output_shape())[0]
        expected = _made(engine, source, write)

        def unreadable(region: Region) -> Pixels:
            raise RegionUnreadable(f"the pixels {region!r} cannot be read")

        with pytest.raises(RegionUnreadable, match="cannot be read"):
            engine.compute(engine.tile(write), unreadable, _never)
        with pytest.raises(RunCancelled):
            engine.compute(engine.tile(write), source.read, lambda: True)
        np.testing.assert_array_equal(_made(engine, source, write), expected)

    def test_several_threads_may_compute_at_once(self, engine: Engine, source: Source) -> None:
        writes = _parts(self.output_shape()) * 2
        expected = [_made(engine, source, write) for write in writes]
        with ThreadPoolExecutor(3) as pool:
            made = list(pool.map(lambda write: _made(engine, source, write), writes))
        for one, other in zip(made, expected, strict=True):
            np.testing.assert_array_equal(one, other)

    def test_device_time_is_told_once(self, engine: Engine, source: Source) -> None:
        if not isinstance(engine, TimedEngine):
            return
        _made(engine, source, Region.from_shape(self.output_shape()))
        first, second = engine.take_device_time(), engine.take_device_time()
        assert (first is None) == (second is None)
        if first is not None and second is not None:
            assert first.seconds > 0
            assert (second.engine, second.seconds) == (first.engine, 0)


def _made(engine: Engine, source: Source, write: Region) -> Pixels:
    pixels: Pixels = engine.compute(engine.tile(write), source.read, _never)
    return pixels


def _parts(shape: tuple[int, ...]) -> list[Region]:
    """Two along each axis, of different sizes."""
    grid = Grid(shape, tuple(max(1, -(-2 * n // 3)) for n in shape))
    return [grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts))]


def _never() -> bool:
    return False
