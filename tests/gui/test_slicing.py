"""napari may read what it shows in the GUI thread or in another one: what is on screen is the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from napari.settings import get_settings
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.layers.texture_patch import region_on_screen

PATIENCE = 240_000


@pytest.fixture(params=[False, True], ids=["slicing at once", "slicing in a thread"])
def viewer(request: pytest.FixtureRequest, make_napari_viewer: Callable[..., Any]) -> Iterator[Any]:
    viewer = make_napari_viewer(show=True)
    get_settings().experimental.async_ = request.param
    assert viewer._layer_slicer._force_sync is not request.param
    yield viewer
    get_settings().experimental.async_ = False


def on_screen(layer: Any) -> Any:
    """What napari has loaded of a layer, and of which level and pixels."""
    return np.asarray(layer._slice.image.raw), layer.data_level, region_on_screen(layer)


def test_a_run_fills_the_view_with_exact_pixels(viewer: Any, qtbot: QtBot) -> None:
    picture = np.random.default_rng(0).integers(60, 255, (1300, 1700, 3), np.uint8)
    expected = np.asarray(ns.run("stain", picture, scheduler="serial"))
    viewer.add_image(picture, name="tissue", scale=(0.5, 0.5))
    dock = docked(viewer, None)
    dock.choose_model("stain")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=PATIENCE)
    dock.panel.tile.slider.setValue(1)
    viewer.scene.camera.zoom *= 8
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=PATIENCE)
    for move in ((0.0, 0.0), (30.0, -60.0)):
        viewer.scene.camera.center = tuple(np.add(viewer.scene.camera.center, [0, *move]))

        def is_exact() -> bool:
            for layer, channel in zip(dock.result_layers, expected, strict=True):
                pixels, level, region = on_screen(layer)
                if not layer.loaded or level or pixels.shape != region.shape:
                    return False
                if not np.allclose(pixels, channel[region.slices()], atol=1e-5):
                    return False
            return True

        qtbot.waitUntil(is_exact)
        assert region_on_screen(dock.result_layers[0]).size < expected[0].size, "only a part is on screen"


def test_another_result_on_the_same_slide_and_the_removal_of_one_end_well(viewer: Any, qtbot: QtBot) -> None:
    viewer.add_image(np.random.default_rng(1).integers(60, 255, (300, 300, 3), np.uint8), name="tissue")
    dock = docked(viewer, None)
    for model in ("stain", "nuclei"):
        dock.choose_model(model)
        qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=PATIENCE)
        dock.run()
        qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=PATIENCE)
    viewer.layers.remove(dock.result_layers[0])
    viewer.layers.remove("tissue")
    assert dock.result_layers == []
    qtbot.waitUntil(lambda: dock.poll().phase == "empty")
