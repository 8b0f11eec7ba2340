"""Arrays whose axes have names, as those of xarray, and arrays that cannot be images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_seamless.errors import BadRequest, InputUnreadable
from napari_seamless.geometry import Region
from napari_seamless.io.readers import open_image

STACK = np.random.default_rng(3).random((2, 3, 4, 30, 40), np.float32)


class Named:
    """What xarray's DataArray is to us: named axes, a name of the user's, and the methods of a dask collection."""

    name = None

    def __init__(self, values: np.ndarray, dims: tuple[str, ...]) -> None:
        self.values, self.dims, self.shape, self.dtype = values, dims, values.shape, values.dtype

    def __getitem__(self, index: Any) -> np.ndarray:
        return self.values[index]

    def __dask_graph__(self) -> None:
        return None


def test_the_names_of_an_arrays_axes_are_believed() -> None:
    source = open_image(Named(STACK, ("t", "c", "z", "y", "x")), plane={"t": 1, "z": 3})
    np.testing.assert_array_equal(source.read(Region.from_shape((30, 40))), STACK[1, :, 3])
    turned = open_image(Named(STACK[0, :, 0], ("c", "x", "y")))
    np.testing.assert_array_equal(turned.read(Region.from_shape((40, 30))), STACK[0, :, 0].transpose(0, 2, 1))


def test_what_the_user_says_of_axes_goes_before_their_names() -> None:
    source = open_image(Named(STACK[0, 0], ("c", "y", "x")), axes="zyx")
    assert source.info.levels.shapes == ((4, 30, 40),)


def test_axes_of_other_names_are_no_axes_that_we_know() -> None:
    with pytest.raises(BadRequest, match='axes="tczyx"'):
        open_image(Named(STACK, ("time", "band", "depth", "lat", "lon")))


@pytest.mark.parametrize("shape", [(20,), (), (2, 2, 2, 2, 8, 8)])
def test_an_array_of_too_few_or_too_many_axes_is_refused_as_that(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadRequest, match="an image has an axis y and an axis x"):
        open_image(np.zeros(shape))


def test_dates_are_no_pixels() -> None:
    with pytest.raises(InputUnreadable, match="pixels must be numbers or booleans"):
        open_image(np.zeros((8, 8), "datetime64[s]"))
