"""Objects of a model with post-processing, as the window shows them while a run makes them, and afterwards."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.backend import LazyLibrary
from napari_seamless._napari.layers.live_layers import ResultLayers
from napari_seamless._napari.layers.object_keys import COLOURS, ColourKeys
from napari_seamless._napari.layers.view import result_on_screen
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import OutputChoice
from napari_seamless.models.model import Model
from object_models import written_image, written_model

SHAPE = (259, 300)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("objects") / "cells.ome.zarr"
    ns.run(written_model(), written_image(SHAPE), axes="cyx", scheduler="serial", tile=64, output=path)
    return path


def pixels_of(layer: Any) -> np.ndarray:
    return np.asarray(layer.data[0] if layer.multiscale else layer.data)


def same_parts(shown: np.ndarray, ids: np.ndarray) -> bool:
    """Whether two images have the same background, and one key for each id."""
    pairs = np.unique(np.stack([shown.ravel(), ids.ravel()]), axis=1)
    return bool(((pairs[0] == 0) == (pairs[1] == 0)).all()) and len(np.unique(pairs[1])) == pairs.shape[1]


def point_at(layer: Any, y: int, x: int) -> str:
    """Moves the pointer to a pixel; what the status bar then says."""
    position = layer.data_to_world((y, x))
    event = SimpleNamespace(position=position, view_direction=None, dims_displayed=[0, 1])
    for callback in layer.mouse_move_callbacks:
        callback(layer, event)
    return str(layer.get_status(position, dims_displayed=[0, 1], world=True)["value"])


def assert_says_the_truth(layer: Any, result: Any) -> None:
    table = ns.objects_of(result)
    ids = np.asarray(ns.open_result(result).levels[0])
    assert len(table) > 20
    for number, area, score in zip(table.id[:5], table.area[:5], table.extra["score"][:5], strict=True):
        y, x = np.argwhere(ids == number)[0]
        said = point_at(layer, int(y), int(x))
        assert f"id: {number}, area: {area} px, class: 1, score: {score:.2f}" in said


class CellsLibrary(LazyLibrary):
    """The library with one network: one whose objects are written in its image."""

    def load_model(self, _what: Any, **_options: Any) -> Model:
        return written_model()

    def model_names(self) -> tuple[str, ...]:
        return ("cells",)

    def describe_model(self, name: str) -> str:
        return name


def run_in_window(viewer: Any, qtbot: QtBot, output: Path) -> SeamlessDock:
    viewer.add_image(written_image(SHAPE), name="tissue", scale=(1, 0.5, 0.5), axis_labels=("c", "y", "x"))
    dock = docked(viewer, CellsLibrary())
    dock.panel.output.setValue(OutputChoice(output))
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=240_000)
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=240_000)
    return dock


def assert_sliders_are_tried_on_the_view(qtbot: QtBot, viewer: Any, dock: SeamlessDock, output: Path) -> None:
    """Another probability is seen on a layer of its own, in the place of the result; the first one takes that away."""
    (result,), sliders = dock.result_layers, dock.panel.objects
    assert not sliders.isHidden()
    sliders.probability.setValue(0.7)
    qtbot.waitUntil(lambda: any(layer.name.endswith("(preview)") for layer in viewer.layers))
    (tried,) = [layer for layer in viewer.layers if layer.name.endswith("(preview)")]
    seen = result_on_screen(viewer, dock._run_view.shown)
    expected = ns.objects_of(output, probability=0.7, region=seen)
    assert f"{len(expected)} objects" in sliders.words.text()
    assert not result.visible
    np.testing.assert_allclose(tried.data_to_world((0, 0)), result.data_to_world(seen.start))
    assert len(np.unique(tried.data)) - 1 >= len(expected) > 5
    sliders.probability.setValue(0.5)
    assert result.visible
    assert tried not in viewer.layers


def test_a_run_shows_its_objects_and_not_what_they_are_made_of(make_napari_viewer, qtbot: QtBot, tmp_path) -> None:
    viewer, output = make_napari_viewer(), tmp_path / "cells.ome.zarr"
    dock = run_in_window(viewer, qtbot, output)
    (layer,) = dock.result_layers
    assert layer.dtype == np.uint16
    np.testing.assert_allclose(layer.data_to_world((10, 20)), (5, 10))
    assert same_parts(pixels_of(layer), np.asarray(ns.open_result(output).levels[0]))
    assert_says_the_truth(layer, output)
    assert f"{len(ns.objects_of(output))} objects" in dock.panel.progress.caption.text()
    assert any("reach further than largest_radius" in sentence for sentence in dock.snapshot.notices)
    assert_sliders_are_tried_on_the_view(qtbot, viewer, dock, output)


def test_a_result_that_is_opened_again_shows_the_same(make_napari_viewer, finished: Path) -> None:
    viewer = make_napari_viewer()
    result = ns.open_result(finished)
    (layer,) = ResultLayers(viewer, result, "cells", {}).layers
    assert layer.dtype == np.uint16
    assert same_parts(pixels_of(layer), np.asarray(result.levels[0]))
    assert_says_the_truth(layer, finished)


def test_objects_that_can_touch_have_different_keys_and_colours() -> None:
    columns = 6553  # ids of touching objects are 65 535 apart there
    keys = ColourKeys(columns)
    rng = np.random.default_rng(0)
    cells = rng.integers((0, 20), (2000, columns - 20), (20_000, 2))
    near = cells + rng.integers(0, (24, 24), cells.shape)
    near = near[(near != cells).any(axis=1)], cells[(near != cells).any(axis=1)]
    one, other = (keys.of(y * columns + x + 1).astype(int) for y, x in (part.T for part in near))
    assert one.min() >= 1
    assert (one != other).all()
    inside = (near[0] // (255, 256) == near[1] // (255, 256)).all(axis=1)
    assert ((one - other) % COLOURS != 0)[inside].all()
