"""The real pipeline behind the real dock: what is on screen in the end is what the library computes."""

from __future__ import annotations

import numpy as np
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.widgets.dialogs import ExportWish


def test_a_run_in_the_window_gives_the_pixels_of_the_library(make_napari_viewer, qtbot: QtBot, tmp_path) -> None:
    picture = np.random.default_rng(0).integers(60, 255, (400, 700, 3), np.uint8)
    expected = np.asarray(ns.run("stain", picture, scheduler="serial"))
    viewer = make_napari_viewer()
    viewer.add_image(picture, name="tissue", scale=(0.5, 0.5))
    dock = docked(viewer, None)
    dock.choose_model("stain")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=240_000)
    dock.panel.tile.slider.setValue(1)
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=240_000)
    shown = np.stack([np.asarray(layer.data[0] if layer.multiscale else layer.data) for layer in dock.result_layers])
    np.testing.assert_allclose(shown.reshape(expected.shape), expected, atol=1e-5)
    dock.panel.exportRequested.emit(ExportWish(tmp_path / "out.ome.zarr"))
    qtbot.waitUntil(lambda: dock.poll().exported is not None, timeout=240_000)
    np.testing.assert_array_equal(ns.open_image(tmp_path / "out.ome.zarr").info.levels.shapes[0], (400, 700))
