"""A layer that is moved, turned or scaled takes along what was made of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from gui_fakes import FakePipeline
from napari_seamless._napari.contributions import read_slide
from napari_seamless._napari.layers.annotation_shapes import annotation_layer
from napari_seamless._napari.layers.drawn_shapes import polygons_over
from napari_seamless._napari.measure.dock import MeasureDock
from napari_seamless._napari.measure.object_layers import centroids
from napari_seamless._napari.writer import write_labels
from napari_seamless.runs.annotations import Annotation

SQUARE = np.array([[10.0, 10.0], [10.0, 20.0], [30.0, 20.0], [30.0, 10.0]])
MOVES: dict[str, Callable[[Any], None]] = {
    "translate": lambda layer: setattr(layer, "translate", (-70, 300)),
    "scale": lambda layer: setattr(layer, "scale", (0.25, 3)),
    "rotate": lambda layer: setattr(layer, "rotate", 30),
    "shear": lambda layer: setattr(layer, "shear", [0.5]),
    "affine": lambda layer: setattr(layer, "affine", [[0.9, -0.2, 5], [0.1, 1.2, -8], [0, 0, 1]]),
}


def same_place(result: Any, source: Any, scale: float = 1.0, offset: float = 0.0) -> None:
    """Pixel o of the result lies where pixel o * scale + offset of the source does."""
    for pixel in ((0, 0), (10, 0), (0, 40)):
        expected = source.data_to_world(tuple(o * scale + offset for o in pixel))
        np.testing.assert_allclose(result.data_to_world(pixel), expected, atol=1e-6)


@pytest.mark.parametrize("move", MOVES)
def test_a_result_follows_its_image(
    qtbot: QtBot, make_napari_viewer: Callable[..., Any], pipeline: FakePipeline, move: str
) -> None:
    pipeline.scale = (2.0, 2.0)
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((600, 800), np.uint8), scale=(0.5, 0.5), translate=(7, 9), name="tissue")
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    (result,) = dock.result_layers
    same_place(result, image, 2)
    MOVES[move](image)
    same_place(result, image, 2)
    pipeline.runs[-1].end()
    qtbot.waitUntil(lambda: dock.poll().phase in ("finished", "preparing", "ready"))
    viewer.window.remove_dock_widget(dock.parent())
    MOVES["translate"](image)
    same_place(result, image, 2)


def test_an_image_in_another_scale_is_prepared_anew_and_one_that_was_moved_is_run_where_it_lies(
    qtbot: QtBot, make_napari_viewer: Callable[..., Any], pipeline: FakePipeline
) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((600, 800), np.uint8), scale=(0.5, 0.5), units=("um", "um"), name="tissue")
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    image.scale = (0.25, 0.25)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready" and len(pipeline.traced) == 2)
    image.translate = (100, 100)
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    assert len(pipeline.traced) == 2, "where it lies does not matter to the network"
    assert len(pipeline.planes) == 1, "the image was looked at again"


@pytest.fixture
def slide(tmp_path: Path) -> tuple[Path, Path]:
    """An image of 0.5 um at (10, 20), and labels that were made of it."""
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    path, result = tmp_path / "slide.ome.tif", tmp_path / "labels.ome.zarr"
    said = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, photometric="rgb", metadata=said)
    ns.run("nuclei", path, output=result, scheduler="serial")
    return path, result


def test_a_result_that_is_opened_again_lies_over_its_moved_image_and_follows_it(
    slide: tuple[Path, Path], qtbot: QtBot, make_napari_viewer: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, stored = slide
    viewer = make_napari_viewer()
    ((data, settings, _),) = read_slide(str(path))
    image = viewer.add_image(data, **settings)
    MOVES["affine"](image)
    dock = MeasureDock(viewer)
    qtbot.addWidget(dock)
    dock.open(stored)
    qtbot.waitUntil(lambda: bool(dock.poll()) and len(viewer.layers) == 2)
    result = viewer.layers[1]
    same_place(result, image)
    said: list[str] = []
    monkeypatch.setattr("napari_seamless._napari.writer.show_info", said.append)
    save(result, path.parent / "saved.ome.tif")
    assert said == [], "the image was moved before the result was put over it"
    MOVES["scale"](image)
    same_place(result, image)
    save(result, path.parent / "saved.ome.tif")
    assert len(said) == 1
    assert "its layer was moved or scaled since" in said[0]
    save(result, path.parent / "saved.geojson")
    assert len(said) == 1, "GeoJSON is in pixels of the image, wherever that lies"
    info = ns.open_image(path.parent / "saved.ome.tif").info
    np.testing.assert_allclose(info.pixel_size, (0.5, 0.5))


def save(layer: Any, path: Path) -> None:
    data, settings, _ = layer.as_layer_data_tuple()
    write_labels(str(path), data, settings)


@pytest.mark.parametrize("move", MOVES)
def test_shapes_and_centroids_stay_on_their_pixels(make_napari_viewer: Callable[..., Any], move: str) -> None:
    viewer = make_napari_viewer()
    image = viewer.add_image(np.zeros((60, 80), np.uint8), scale=(0.5, 0.5), translate=(7, 9))
    labels = viewer.add_labels(np.zeros((60, 80), np.uint8), scale=(0.5, 0.5))
    shapes = annotation_layer(viewer, image, [Annotation(((SQUARE,),))], "drawn", (-2, -1))
    points = viewer.add_layer(centroids(labels, {"y": np.array([5.0]), "x": np.array([9.0])}, [], 3))
    MOVES[move](image)
    MOVES[move](labels)
    same_place(shapes, image)
    same_place(points, labels)
    assert np.allclose(polygons_over(shapes, image)[0][:4], SQUARE)
