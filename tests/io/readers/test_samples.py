"""The packaged slide, and images of any size made from it."""

from __future__ import annotations

import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.io.readers import MirrorTiled, open_image, open_sample, sample_slide
from sources_oracle import texture


@st.composite
def tiled(draw: st.DrawFn) -> tuple[np.ndarray, tuple[int, ...], Region]:
    """An image (c, [z,] y, x), a larger or smaller shape, and a region of that."""
    ndim = draw(st.integers(2, 3))
    image = texture(2, *draw(st.tuples(*[st.integers(1, 9)] * ndim)), seed=draw(st.integers(0, 99)))
    shape = draw(st.tuples(*[st.integers(1, 40)] * ndim))
    pairs = (draw(st.tuples(st.integers(0, n), st.integers(0, n)).map(sorted)) for n in shape)
    return image, shape, Region.of(*((lo, hi) for lo, hi in pairs))


@given(tiled())
@settings(max_examples=150, deadline=None)
def test_the_finest_level_is_what_numpy_pads(case: tuple[np.ndarray, tuple[int, ...], Region]) -> None:
    image, shape, region = case
    source = MirrorTiled(open_image(image, axes="cyx" if len(shape) == 2 else "czyx"), shape)
    more = [(0, max(0, n - m)) for n, m in zip(shape, image.shape[1:], strict=True)]
    whole = np.pad(image, [(0, 0), *more], mode="symmetric")
    pixels = source.read(region)
    assert pixels.shape == (2, *region.shape)
    np.testing.assert_array_equal(pixels, whole[(slice(None), *region.slices())])


@given(st.integers(1, 3), st.integers(0, 700), st.integers(0, 700))
@settings(max_examples=20, deadline=None)
def test_a_coarser_level_shows_the_middle_of_its_pixels(level: int, y: int, x: int) -> None:
    image = texture(37, 53)
    source = MirrorTiled(open_image(image), (6000, 5600))
    whole = np.pad(image, [(0, 6000 - 37), (0, 5600 - 53)], mode="symmetric")
    step = 2**level
    strided = whole[step // 2 :: step, step // 2 :: step]
    region = Region.of((y // step, y // step + 20), (x // step, x // step + 30))
    np.testing.assert_array_equal(source.read(region, level)[0], strided[region.slices()])


def test_coarser_levels_come_from_the_coarser_levels_of_the_source() -> None:
    base = texture(64, 64)
    source = MirrorTiled(
        open_image([base, np.full((32, 32), 7, np.uint8), np.full((16, 16), 9, np.uint8)]), (4096, 4096)
    )
    seen = [np.unique(source.read(Region.of((0, 300), (0, 300)), level)).tolist() for level in (1, 2, 3)]
    assert seen == [[7], [9], [9]]


def test_a_gigapixel_image_costs_what_a_read_covers() -> None:
    slide = open_image(sample_slide())
    source = MirrorTiled(slide, (100_000, 100_000))
    assert source.info.levels.shape(0) == (100_000, 100_000)
    assert max(source.info.levels.shapes[-1]) <= 512
    source.read(Region.of((99_000, 99_500), (99_000, 99_500)))
    tracemalloc.start()
    for level, shape in enumerate(source.info.levels.shapes):
        source.read(Region.of(*((max(0, n - 512), n) for n in shape)), level)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100e6
    source.close()


def test_a_tiled_image_counts_what_its_source_decodes() -> None:
    source = MirrorTiled(open_image(sample_slide()), (6000, 6000))
    source.read(Region.of((0, 240), (0, 240)))
    source.read(Region.of((5934 - 240, 5934), (0, 240)))
    assert source.reads.needed == source.reads.decoded == 240 * 240 * 3
    assert MirrorTiled(open_image(texture(20, 20)), (50, 50)).reads.redundancy == 1
    source.close()


def test_a_tiled_image_travels() -> None:
    source = MirrorTiled(open_image(sample_slide()), (10_000, 9_000))
    copy = pickle.loads(pickle.dumps(source))
    region = Region.of((2900, 3100), (2200, 2300))
    np.testing.assert_array_equal(copy.read(region), source.read(region))
    assert copy.info == source.info
    copy.close()
    source.close()


def test_shape_and_source_must_have_the_same_axes() -> None:
    with pytest.raises(BadRequest, match=r"axes of its source, 2; got the shape \(5, 50, 50\)"):
        MirrorTiled(open_image(texture(20, 20)), (5, 50, 50))


def test_the_sample_is_there_with_its_licence() -> None:
    assert sample_slide().is_file()
    assert "CC0-1.0" in (sample_slide().parent / "README.md").read_text()


@pytest.mark.parametrize(
    ("name", "shape"), [("slide", (2967, 2220)), ("ihc", (512, 512)), ("gigapixel", (50_000,) * 2)]
)
def test_every_sample_opens_in_colour(name: str, shape: tuple[int, int]) -> None:
    source = open_sample(name)
    assert source.info.levels.shapes[0] == shape
    assert source.info.rgb
    source.close()


def test_a_sample_that_is_not_there_gets_a_list_of_those_that_are() -> None:
    with pytest.raises(BadRequest, match="one of slide, ihc, gigapixel; got 'brain'"):
        open_sample("brain")
