"""Arrays, pyramids of arrays, layers and bioimages as sources."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections import namedtuple
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.fingerprints import now, source_identity, told
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Source
from napari_seamless.io.readers import open_image
from sources_oracle import assert_reads_equal, texture


@dataclass(frozen=True)
class Case:
    """An array and the transposition that makes it (c, [z,] y, x)."""

    shape: tuple[int, ...]
    axes: str | None
    order: tuple[int, ...]
    spatial: tuple[int, ...]
    channels: int
    dtype: str = "uint8"


CASES = [
    Case((30, 40), None, (0, 1), (30, 40), 1),
    Case((3, 30, 40), None, (0, 1, 2), (30, 40), 3, "float32"),
    Case((30, 40, 3), None, (2, 0, 1), (30, 40), 3),
    Case((5, 30, 40, 3), None, (3, 0, 1, 2), (5, 30, 40), 3),
    Case((5, 30, 40), "zyx", (0, 1, 2), (5, 30, 40), 1, "uint16"),
    Case((3, 30, 40), "zyx", (0, 1, 2), (3, 30, 40), 1),
    Case((5, 30, 40), "cyx", (0, 1, 2), (30, 40), 5),
    Case((40, 30), "xy", (1, 0), (30, 40), 1),
    Case((30, 40, 6), "yxc", (2, 0, 1), (30, 40), 6, "uint16"),
    Case((30, 40, 4), "yxc", (2, 0, 1), (30, 40), 4, "float32"),
    Case((5, 2, 30, 40), "zcyx", (1, 0, 2, 3), (5, 30, 40), 2, "int16"),
    Case((30, 40), "yx", (0, 1), (30, 40), 1, ">u2"),
]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.shape} {c.axes}")
@pytest.mark.parametrize("kind", ["numpy", "dask", "zarr"])
def test_axes_say_or_show_what_is_what(case: Case, kind: str) -> None:
    values = texture(*case.shape, dtype=case.dtype.replace(">u2", "uint16")).astype(case.dtype)
    source = open_image(made(kind, values), axes=case.axes)
    native = values.astype(values.dtype.newbyteorder("="))
    whole = native.transpose(case.order).reshape(case.channels, *case.spatial)
    assert_reads_equal(source, whole, count=5)


def made(kind: str, values: np.ndarray) -> Any:
    if kind == "dask":
        return da.from_array(values, chunks=7)
    return zarr.array(values, chunks=(9,) * values.ndim) if kind == "zarr" else values


def test_a_fourth_colour_is_left_out() -> None:
    values = texture(20, 30, 4)
    for axes in (None, "yxc"):
        source = open_image(values, axes=axes)
        assert source.info.rgb
        assert_reads_equal(source, np.moveaxis(values[:, :, :3], 2, 0), count=3)


def test_of_time_the_first_point_is_read() -> None:
    values = texture(4, 2, 20, 30)
    assert_reads_equal(open_image(values, axes="tcyx"), values[0], count=3)


def test_a_list_of_arrays_is_a_pyramid() -> None:
    levels = [texture(64, 80, 3), texture(32, 40, 3), texture(8, 10, 3)]
    source = open_image(levels)
    assert source.info.levels.shapes == ((64, 80), (32, 40), (8, 10))
    for k, level in enumerate(levels):
        assert_reads_equal(source, np.moveaxis(level, 2, 0), k, count=3)


def test_dask_is_computed_in_the_thread_that_reads() -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("another scheduler was used")

    source = open_image(da.ones((30, 40), chunks=10))
    with dask.config.set(scheduler=refuse):
        assert source.read(Region.of((5, 25), (0, 40))).sum() == 20 * 40


def test_dask_computes_only_the_chunks_that_a_region_touches() -> None:
    seen = []

    def noted(part: np.ndarray, block_info: Any = None) -> np.ndarray:
        seen.append(block_info)
        return part

    lazy = da.zeros((100, 100), chunks=10, dtype="u1").map_blocks(noted, dtype="u1", meta=np.zeros((0, 0), "u1"))
    open_image(lazy).read(Region.of((5, 15), (5, 15)))
    assert len(seen) == 4


def test_what_was_read_belongs_to_the_caller() -> None:
    values = texture(20, 30)
    before = values.copy()
    open_image(values).read(Region.of((0, 20), (0, 30)))[...] = 0
    np.testing.assert_array_equal(values, before)


def test_an_array_source_travels() -> None:
    source = open_image(texture(3, 20, 30))
    copy = pickle.loads(pickle.dumps(source))
    assert copy.info == source.info
    assert_reads_equal(copy, texture(3, 20, 30), count=2)


def test_an_array_in_memory_is_its_pixels() -> None:
    first, second = texture(20, 30), texture(20, 30)[:, ::-1]
    known = source_identity(open_image(first), 0)
    assert source_identity(open_image(first.copy()), 0) == known != source_identity(open_image(second), 0)
    first[3, 4] += 1
    assert source_identity(open_image(first), 0) != known


def test_an_array_that_is_read_in_another_way_is_another_image() -> None:
    stack = texture(3, 4, 5)
    assert len({source_identity(open_image(stack, axes=axes), 0) for axes in ("cyx", "zyx", "yxc")}) == 3


class Lazy:
    """An array-like that is neither numpy's nor dask's, and counts how often it is read."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads = 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        self.reads += 1
        return self.values[index]


def test_nothing_of_a_lazy_array_is_read_to_know_what_it_is() -> None:
    array = Lazy(texture(3, 50, 60))
    source_identity(open_image(array), 0)
    assert array.reads == 0


def test_only_its_pixels_tell_that_a_lazy_array_is_another_one() -> None:
    array = Lazy(texture(3, 50, 60))
    source, region = open_image(array), Region.of((0, 9), (5, 9))
    assert told(source, region, 0) is None
    before = now(source, region, 0)
    assert now(source, region, 0) == before
    array.values = array.values + np.uint8(1)
    assert now(source, region, 0) != before


def test_a_source_passes_through() -> None:
    source = open_image(texture(5, 5))
    assert isinstance(source, Source)
    assert open_image(source) is source


def layer(data: Any, **facts: Any) -> SimpleNamespace:
    """What a napari layer shows of itself."""
    defaults = {"name": "slide", "multiscale": False, "scale": (1.0, 1.0, 1.0), "rgb": False, "units": ()}
    return SimpleNamespace(data=data, **(defaults | facts))


def test_a_layer_gives_name_levels_colours_and_pixel_size() -> None:
    levels = [texture(64, 80, 4), texture(32, 40, 4)]
    source = open_image(layer(levels, multiscale=True, rgb=True, scale=(0.5, 0.25), units=("µm", "µm")))
    assert source.info.name == "slide"
    assert source.info.pixel_size == (0.5, 0.25)
    assert source.info.unit == "micrometer"
    assert source.info.rgb
    assert_reads_equal(source, np.moveaxis(levels[1][..., :3], 2, 0), 1, count=3)


def test_a_layer_in_pixels_has_no_pixel_size() -> None:
    source = open_image(layer(texture(5, 20, 30), scale=(2.0, 1.0, 1.0), units=("pixel",) * 3), axes="zyx")
    assert source.info.pixel_size is None


def test_a_layer_that_is_not_rgb_keeps_its_last_axis_in_space() -> None:
    source = open_image(layer(texture(4, 20, 3)))
    assert source.info.levels.shapes == ((20, 3),)
    assert source.info.channels == 4


def test_a_labels_layer_has_no_colours_to_ask_for() -> None:
    labels = layer(texture(20, 30, dtype="int32"))
    del labels.rgb
    assert_reads_equal(open_image(labels), texture(20, 30, dtype="int32")[None], count=2)


def test_a_real_napari_layer_is_understood() -> None:
    layers = pytest.importorskip("napari.layers")
    values = texture(20, 30, 3)
    image = layers.Image(values, rgb=True, scale=(0.5, 0.5), units=("um", "um"), name="tissue")
    source = open_image(image)
    assert (source.info.name, source.info.pixel_size, source.info.unit) == ("tissue", (0.5, 0.5), "micrometer")
    assert_reads_equal(source, np.moveaxis(values, 2, 0), count=2)


Sizes = namedtuple("Sizes", "Z Y X")


class FakeBioImage:
    """What AICSImage and BioImage share, over an array (t, c, z, y, x[, s])."""

    def __init__(self, values: np.ndarray, sizes: Sizes, names: list[str]) -> None:
        self._values = values
        order = "TCZYXS"[: values.ndim]
        self.dims = SimpleNamespace(order=order, **dict(zip(order, values.shape, strict=True)))
        self.physical_pixel_sizes = sizes
        self.channel_names = names

    def get_image_dask_data(self, letters: str) -> da.Array:
        index = tuple(slice(None) if letter in letters else 0 for letter in self.dims.order)
        return da.from_array(self._values[index])


def test_a_bioimage_gives_its_first_time_point_with_names_and_sizes() -> None:
    values = texture(2, 3, 4, 20, 30, dtype="uint16")
    source = open_image(FakeBioImage(values, Sizes(2.0, 0.5, 0.5), ["a", "b", "c"]))
    assert source.info.channel_names == ("a", "b", "c")
    assert source.info.pixel_size == (2.0, 0.5, 0.5)
    assert_reads_equal(source, values[0], count=3)


@pytest.mark.parametrize("depth", [None, 0.0])
def test_a_flat_bioimage_in_colour_is_a_plane(depth: float | None) -> None:
    values = texture(1, 1, 1, 20, 30, 3)
    source = open_image(FakeBioImage(values, Sizes(depth, 0.5, 0.5), ["0"]))
    assert source.info.rgb
    assert source.info.pixel_size == (0.5, 0.5)
    assert_reads_equal(source, np.moveaxis(values[0, 0, 0], 2, 0), count=3)


@pytest.mark.parametrize(
    ("what", "axes", "error", "sentence"),
    [
        (np.zeros((50, 60, 70)), None, BadRequest, r"more than one way.*axes=\"zyx\""),
        (np.zeros((2, 3, 60, 70)), None, BadRequest, r"more than one way.*axes=\"czyx\""),
        (np.zeros(7), None, BadRequest, r"an axis y and an axis x.*got the shape \(7,\)"),
        (np.zeros((5, 6)), "zyx", BadRequest, "one letter for each axis.*give 2 letters"),
        (np.zeros((5, 6)), "yy", BadRequest, "each once; got 'yy'"),
        (np.zeros((5, 6)), "", BadRequest, "must name y and x"),
        (np.zeros((5, 6)), "yq", BadRequest, "must name y and x"),
        (np.zeros((0, 6)), None, BadRequest, "at least one level with pixels"),
        (np.zeros((5, 6), complex), None, InputUnreadable, "numbers or booleans; got the type complex128"),
        (np.full((5, 6), "a"), None, InputUnreadable, "numbers or booleans"),
        ([], None, InputUnreadable, "got a list of 0"),
        ([np.zeros((5, 6)), np.zeros((9, 9))], None, InputUnreadable, "finest first"),
        ([np.zeros((5, 6)), np.zeros((2, 3), "u1")], None, InputUnreadable, "same axes, channels and data type"),
        ([np.zeros((2, 5, 6)), np.zeros((1, 2, 3))], None, InputUnreadable, "same axes, channels and data type"),
        ([1, 2], None, InputUnreadable, "got a list of 2"),
        (None, None, InputUnreadable, "got NoneType"),
        (17, None, InputUnreadable, "got int"),
    ],
)
def test_what_is_no_image_is_refused_in_one_sentence(what: Any, axes: str | None, error: type, sentence: str) -> None:
    with pytest.raises(error, match=sentence):
        open_image(what, axes=axes)


def test_a_torch_tensor_is_told_what_to_become() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(InputUnreadable, match=r"numpy data type; got torch.float32 of Tensor"):
        open_image(torch.zeros(5, 6))


def test_opening_an_array_loads_no_library_of_a_file_format() -> None:
    script = (
        "import sys, numpy; from napari_seamless.io.readers import open_image; open_image(numpy.zeros((5, 6)));"
        "heavy = {'tifffile', 'zarr', 'dask', 'PIL', 'bioio', 'openslide', 'torch', 'qtpy'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert (
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip()
        == "[]"
    )
