"""From the camera to pixels, against answers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image

from napari_seamless._napari.layers.axes import Axis
from napari_seamless._napari.layers.live_layers import placed_over
from napari_seamless._napari.layers.view import output_region, visible_region
from napari_seamless.geometry import Region


def looking_at(layer: Image, centre: tuple[float, float], zoom: float) -> ViewerModel:
    """A viewer (no window) whose canvas of 100 x 200 screen pixels has `centre` (world y, x) in its middle."""
    viewer = ViewerModel()
    viewer.add_layer(layer)
    viewer.canvas.size = (100, 200)
    viewer.scene.camera.center = centre
    viewer.scene.camera.zoom = zoom
    return viewer


def image(**settings: Any) -> Image:
    return Image(np.zeros((1000, 2000), np.uint8), **settings)


# A canvas of 100 x 200 at zoom 2 shows 50 x 100 world units: y 475 to 525, x 950 to 1050 around (500, 1000).
CASES = [
    pytest.param({}, (500, 1000), Region.of((475, 526), (950, 1051)), id="plain"),
    pytest.param({"scale": (0.5, 0.5)}, (250, 500), Region.of((450, 551), (900, 1101)), id="half a unit a pixel"),
    pytest.param({"translate": (100, -50)}, (600, 950), Region.of((475, 526), (950, 1051)), id="moved"),
    pytest.param({"rotate": 90, "translate": (1500, 0)}, (500, 500), Region.of((450, 551), (975, 1026)), id="turned"),
    pytest.param({}, (0, 0), Region.of((0, 26), (0, 51)), id="corner"),
]


@pytest.mark.parametrize(("settings", "centre", "expected"), CASES)
def test_what_is_on_screen(settings: dict[str, Any], centre: tuple[float, float], expected: Region) -> None:
    layer = image(**settings)
    region = visible_region(looking_at(layer, centre, 2.0), layer)
    assert region is not None
    difference = np.subtract([*region.start, *region.stop], [*expected.start, *expected.stop])
    assert np.abs(difference).max() <= 1, f"got {region}, expected {expected}"


def test_nothing_is_visible_of_a_layer_that_is_elsewhere() -> None:
    layer = image()
    assert visible_region(looking_at(layer, (5000, 5000), 2.0), layer) is None


def test_nothing_is_targeted_in_three_dimensions() -> None:
    layer = image()
    viewer = looking_at(layer, (500, 1000), 2.0)
    viewer.dims.ndisplay = 3
    assert visible_region(viewer, layer) is None


def test_a_volume_gives_the_plane_that_is_shown() -> None:
    layer = Image(np.zeros((20, 1000, 2000), np.uint8))
    viewer = looking_at(layer, (500, 1000), 2.0)
    viewer.dims.set_current_step(0, 7)
    region = visible_region(viewer, layer)
    assert region is not None
    assert region.intervals[0].lo == 7
    assert region.shape[0] <= 2


def test_a_view_becomes_output_pixels_of_a_coarser_result() -> None:
    view = Region.of((0, 3), (101, 200), (1000, 1300))
    assert output_region(view, (2, 2), (0.5, 0.5), (400, 640)) == Region.of((50, 100), (499, 640))
    assert output_region(view, (2, 2), (0.5, 0.5), (40, 640)) is None


PLACES = [
    pytest.param({"scale": (0.5, 0.25), "translate": (7, 9)}, id="scaled and moved"),
    pytest.param({"rotate": 30, "shear": [0.2]}, id="turned and sheared"),
    pytest.param({"affine": [[0, 2, 5], [1, 0, 6], [0, 0, 1]], "scale": (3, 3)}, id="affine"),
]


@pytest.mark.parametrize("settings", PLACES)
def test_a_result_lies_where_its_source_lies(settings: dict[str, Any]) -> None:
    source = image(**settings)
    result = Image(np.zeros((500, 1000), np.uint8), **placed_over(source, (2, 2), (0.5, 0.5)))
    for point in ((0, 0), (10, 20), (499, 999)):
        under = np.asarray(point) * 2 + 0.5
        np.testing.assert_allclose(result.data_to_world(point), source.data_to_world(under))


DEEP = [
    pytest.param({"scale": (4, 1, 0.5, 0.25), "translate": (1, 2, 7, 9)}, id="scaled and moved"),
    pytest.param({"affine": [[1, 2, 5], [-2, 1, 6], [0, 0, 1]], "scale": (4, 1, 3, 3)}, id="affine in the plane"),
]


@pytest.mark.parametrize("settings", DEEP)
def test_a_result_lies_where_its_source_lies_with_channels_between_its_axes(settings: dict[str, Any]) -> None:
    source = Image(np.zeros((5, 3, 100, 200), np.uint8), **settings)
    axes = (Axis(0), Axis(length=3), Axis(1), Axis(2))
    result = Image(np.zeros((5, 3, 50, 100), np.uint8), **placed_over(source, (1, 2, 2), (0, 0.5, 0.5), axes))
    for z, c, y, x in ((0, 0, 0, 0), (2, 1, 10, 20), (4, 2, 49, 99)):
        under = (z, c, y * 2 + 0.5, x * 2 + 0.5)
        np.testing.assert_allclose(result.data_to_world((z, c, y, x)), source.data_to_world(under), atol=1e-9)


def test_a_flat_result_lies_over_an_image_with_channels() -> None:
    source = Image(np.zeros((3, 100, 200), np.uint8), scale=(1, 0.5, 0.5), translate=(0, 3, 4))
    result = Image(np.zeros((50, 100), np.uint8), **placed_over(source, (2, 2), (0.5, 0.5)))
    np.testing.assert_allclose(result.data_to_world((10, 20)), source.data_to_world((0, 20.5, 40.5))[1:])
