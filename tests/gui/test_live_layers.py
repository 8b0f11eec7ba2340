"""Results that fill while one looks at them, seen on the screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDockWidget

from gui_fakes import FakeLive, FakeSource
from napari_seamless._napari.layers.live_layers import ResultLayers
from napari_seamless._napari.layers.pixels import SourceLevel, overview
from napari_seamless._napari.layers.source_layer import about, source_layer
from napari_seamless._napari.layers.texture_patch import TexturePatch
from napari_seamless.geometry import Region

SHAPE = (600, 800)
KINDS = [
    pytest.param({"kind": "labels"}, id="labels"),
    pytest.param({"kind": "image", "channels": 3, "rgb": True}, id="colours"),
    pytest.param({"kind": "image", "channels": 2, "dtype": np.float32}, id="two channels"),
    pytest.param({"kind": "image", "until": 1000}, id="one level"),
]


@pytest.fixture
def window(make_napari_viewer: Callable[..., Any]) -> Any:
    """A small window that is really shown, over a grey picture."""
    viewer = make_napari_viewer(show=True)
    for dock in viewer.window._qt_window.findChildren(QDockWidget):
        dock.hide()  # they change their size with the layers, and the canvas with it
    viewer.window.resize(700, 500)
    viewer.window._qt_window.statusBar().hide()
    viewer.add_image(np.full((*SHAPE, 3), 90, np.uint8), name="tissue")
    return viewer


def canvas(viewer: Any) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = viewer.screenshot(canvas_only=True, flash=False)
    return picture


def tiles(live: FakeLive) -> list[tuple[Region, NDArray[Any]]]:
    """Four tiles with something in them, some of which cross the edge of the view."""
    rng = np.random.default_rng(1)
    top = {"labels": 3}.get(live.kind, 255 if live.info.dtype == np.uint8 else 1)
    found = []
    for y, x in ((0, 0), (0, 512), (256, 256), (512, 0)):
        region = Region.of((y, min(y + 256, SHAPE[0])), (x, min(x + 256, SHAPE[1])))
        values = rng.random((live.info.channels, *region.shape)) * top
        found.append((region, np.kron(values[:, ::8, ::8], np.ones((8, 8)))[:, : region.shape[0], : region.shape[1]]))
    return found


@pytest.mark.parametrize("options", KINDS)
def test_written_pixels_appear_and_look_as_after_a_refresh(window, qtbot: QtBot, options: dict[str, Any]) -> None:
    live = FakeLive(SHAPE, **options)
    before = canvas(window)
    shown = ResultLayers(window, live, "result", {})
    np.testing.assert_array_equal(canvas(window), before, "an empty result must not be seen")
    window.scene.camera.zoom = 1.3
    canvas(window)
    for region, pixels in tiles(live):
        live.write(region, pixels)
    for _ in range(20):
        shown.tick()
    assert all(not plane.refresher._soon for plane in shown.planes), "pixels had to be refreshed, not patched"
    patched = canvas(window)
    assert (patched != before).any(axis=-1).mean() > 0.1
    shown.finish()
    np.testing.assert_array_equal(patched, canvas(window))


@pytest.mark.parametrize("zoom", [0.5, 1.3], ids=["coarsest", "finest"])
@pytest.mark.parametrize("refreshed", [False, True])
def test_black_is_a_colour_where_it_is_written(window, qtbot: QtBot, zoom: float, refreshed: bool) -> None:
    live = FakeLive(SHAPE, "image", 3, rgb=True)
    shown = ResultLayers(window, live, "result", {})
    window.scene.camera.zoom = zoom
    before = canvas(window)
    live.write(Region.of((0, 256), (0, 256)), 0)
    live.write(Region.of((256, 512), (256, 512)), 0)
    shown.finish() if refreshed else shown.tick()
    (layer,) = shown.layers
    after = canvas(window)
    changed = (before != after).any(axis=-1)
    assert (after[changed] == 0).sum() > 0.9 * 3 * changed.sum()
    assert changed.mean() > 0.05
    assert [int((layer.data[k][..., 3] > 0).sum()) for k in range(2)] == [2 * 256**2, 2 * 128**2]


def test_without_private_names_a_refresh_shows_the_same(window, qtbot: QtBot, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> bool:
        raise AttributeError("canvas")

    monkeypatch.setattr(TexturePatch, "_write", gone)
    live = FakeLive(SHAPE)
    shown = ResultLayers(window, live, "result", {})
    live.write(Region.of((0, 512), (0, 512)), 1)
    shown.tick()
    assert shown.planes[0].refresher._soon
    qtbot.wait(150)
    shown.tick()
    assert (canvas(window)[..., 0] > 150).mean() > 0.1


def test_a_class_has_its_colour_and_the_rest_is_transparent(window) -> None:
    live = FakeLive(SHAPE)
    shown = ResultLayers(window, live, "result", {})
    shown.layers[0].opacity = 1
    window.scene.camera.zoom = 2
    window.scene.camera.center = (256, 256)
    live.write(Region.of((0, 256), (0, 512)), 1)
    canvas(window)
    shown.tick()
    picture = canvas(window)
    height, width = picture.shape[:2]
    np.testing.assert_array_equal(picture[height // 2 - 50, width // 2, :3], (255, 0, 0))
    np.testing.assert_array_equal(picture[height // 2 + 50, width // 2, :3], (90, 90, 90))


def test_a_slide_becomes_a_layer_with_colours_last() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 400, 600), np.uint8)
    levels, settings, kind = source_layer(FakeSource(pixels, levels=3, pixel_size=(0.5, 0.5)))
    assert kind == "image"
    assert settings["rgb"] is True
    assert settings["scale"] == (0.5, 0.5)
    assert isinstance(levels[-1], np.ndarray), "napari keeps the coarsest level: it must be in memory"
    np.testing.assert_array_equal(levels[0][10:20, 30:50], np.moveaxis(pixels, 0, -1)[10:20, 30:50])
    np.testing.assert_array_equal(levels[1][..., 0], pixels[0, ::2, ::2])


def test_an_image_says_what_it_is() -> None:
    from napari.layers import Layer

    source = FakeSource(np.zeros((3, 400, 600), np.uint8), levels=2, pixel_size=(0.499, 0.499))
    assert about(Layer.create(*source_layer(source))) == (
        "600 × 400 px · RGB · uint8 · 0.499\u00a0µm/\N{WORD JOINER}px · 2 levels"
    )


def test_an_image_without_a_pyramid_gets_an_overview(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3000, 2500), np.uint8)
    monkeypatch.setattr("napari_seamless._napari.layers.pixels.STRIP", 500_000)
    seen = overview(SourceLevel(FakeSource(pixels), 0))
    np.testing.assert_array_equal(seen, np.moveaxis(pixels[:, ::3, ::3], 0, -1))
    grey = overview(SourceLevel(FakeSource(pixels, rgb=False), 0))
    np.testing.assert_array_equal(grey, pixels[:, ::3, ::3])


class Endless(FakeSource):
    """100 000 x 100 000 pixels that nobody must read at once."""

    @property
    def info(self) -> Any:
        from dataclasses import replace

        from napari_seamless.geometry import Levels

        return replace(super().info, levels=Levels(((100_000, 100_000),)))


def test_a_read_of_a_whole_slide_is_refused() -> None:
    level = SourceLevel(Endless(np.zeros((3, 4, 4), np.uint8)), 0)
    with pytest.raises(MemoryError, match=r"at most 0\.5 GB; got 30\.0 GB; show a coarser level"):
        level[...]


def test_a_result_that_is_not_exact_says_so_in_the_names_of_its_layers(window) -> None:
    for options in ({"kind": "labels"}, {"kind": "image", "channels": 2, "dtype": np.float32}):
        live = FakeLive(SHAPE, **options)
        live.info = replace(live.info, exact=False)
        shown = ResultLayers(window, live, "tissue: style", {})
        assert all(layer.name.startswith("tissue: style (approximate)") for layer in shown.layers)
