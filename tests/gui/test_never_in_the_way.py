"""Whatever is closed, deleted or exchanged while the real pipeline runs, it stops, and nothing of it is left."""

from __future__ import annotations

import gc
import os
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from pytestqt.qtbot import QtBot

from docks import docked, ours
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import TileSetting

PATIENCE = 20
"""Seconds that workers of a dock that is closed may take to end, on a machine with other things to do."""


def open_in(folder: Path) -> list[str]:
    return [f.path for f in psutil.Process().open_files() if f.path.startswith(str(folder))]


@pytest.fixture(autouse=True)
def _no_files_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Results without a path go to a folder of this test, which must be empty again; no file in it may stay open."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    yield
    gc.collect()
    deadline = time.monotonic() + PATIENCE
    while (files := open_in(folder)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not files
    left = [p for p in folder.rglob("result.ome.zarr") if os.listdir(p)]
    assert not left, f"results nobody can reach: {left}"


def running(make_napari_viewer: Any, qtbot: QtBot, asynchronous: bool = False) -> tuple[Any, SeamlessDock]:
    """A viewer whose dock is in the middle of a real run."""
    viewer = make_napari_viewer()
    if asynchronous:
        viewer._layer_slicer._force_sync = False
    picture = np.random.default_rng(0).integers(60, 255, (1024, 1024, 3), np.uint8)
    viewer.add_image(picture, name="tissue")
    dock = docked(viewer, None)
    dock.choose_model("nuclei")
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=240_000)
    dock.panel.tile.setValue(TileSetting(64, follows_budget=False))
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "running" and dock.snapshot.progress.tiles > 2, timeout=240_000)
    return viewer, dock


ENDS = {
    "the window is closed": (False, lambda viewer, _dock: viewer.close()),
    "the dock is closed": (True, lambda viewer, dock: viewer.window.remove_dock_widget(dock)),
    "the result is deleted": (True, lambda viewer, dock: viewer.layers.remove(dock.result_layers[0])),
    "the image is deleted": (False, lambda viewer, _dock: viewer.layers.remove("tissue")),
    "all layers are deleted": (True, lambda viewer, _dock: viewer.layers.clear()),
}
"""Whether napari slices in a thread of its own, and what happens in the middle of a run."""


@pytest.mark.parametrize("what", ENDS)
def test_a_run_ends_with_what_it_is_about(make_napari_viewer, qtbot: QtBot, what: str) -> None:
    asynchronous, end = ENDS[what]
    viewer, dock = running(make_napari_viewer, qtbot, asynchronous)
    run = weakref.ref(dock._controller._run)
    end(viewer, dock)
    qtbot.waitUntil(lambda: run() is None or run()._driver.is_over)
    if "deleted" in what:
        qtbot.waitUntil(lambda: not dock.poll().is_active)
        viewer.close()
    qtbot.waitUntil(lambda: not ours())


def test_an_image_that_is_exchanged_stops_its_run_and_the_next_one_is_of_the_new_pixels(
    make_napari_viewer, qtbot: QtBot
) -> None:
    viewer, dock = running(make_napari_viewer, qtbot)
    viewer.layers["tissue"].data = np.full((512, 512, 3), 240, np.uint8)
    qtbot.waitUntil(lambda: not dock.poll().is_active)
    qtbot.waitUntil(lambda: dock.poll().prepared is not None and dock.snapshot.choice is not None, timeout=240_000)
    assert dock.snapshot.prepared.output_shape == (512, 512)
    viewer.close()
    qtbot.waitUntil(lambda: not ours())
