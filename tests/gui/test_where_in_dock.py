"""Where to run, as it is chosen and drawn in the window, and results that are found again."""

from __future__ import annotations

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from gui_fakes import FakePipeline, FakeRun
from napari_seamless._napari.layers.drawn_shapes import polygons_over
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import Extent
from napari_seamless.geometry import Region

RECTANGLE = np.array([[100.0, 200.0], [100.0, 300.0], [150.0, 300.0], [150.0, 200.0]])


def started(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> FakeRun:
    many = len(pipeline.runs)
    qtbot.waitUntil(lambda: dock.poll().phase in ("ready", "finished", "cancelled"))
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: len(pipeline.runs) > many and dock.poll().phase == "running")
    return pipeline.runs[-1]


def test_shapes_that_are_drawn_say_where_to_run(qtbot: QtBot, dock, viewer, pipeline) -> None:
    viewer.layers["tissue"].scale = (0.5, 0.5)
    dock.panel.extent.setValue(Extent("shapes"))
    dock.panel.extent.drawRequested.emit()
    drawn = viewer.layers["where to run"]
    assert drawn.mode == "add_rectangle"
    assert dock.panel.extent.value().shapes == str(drawn.unique_id)
    drawn.add(RECTANGLE, shape_type="rectangle")
    run = started(qtbot, dock, pipeline)
    assert run.options["whole"] is True
    np.testing.assert_allclose(run.options["roi"], [RECTANGLE + 0.5])


def test_shapes_of_another_layer_are_put_on_the_pixels_of_the_image(viewer) -> None:
    image = viewer.layers["tissue"]
    image.scale, image.translate, image.rotate = (0.5, 0.25), (10, 20), 30
    world = [[image.data_to_world(corner) for corner in RECTANGLE]]
    shapes = viewer.add_shapes(world, shape_type=["polygon"])
    np.testing.assert_allclose(polygons_over(shapes, image), [RECTANGLE + 0.5], atol=1e-9)


def test_an_ellipse_becomes_a_polygon_around_it_and_a_line_as_wide_as_a_pixel(viewer) -> None:
    line = np.array([[10.0, 10.0], [10.0, 20.0]])
    shapes = viewer.add_shapes([RECTANGLE, line], shape_type=["ellipse", "line"])
    ellipse, thin = polygons_over(shapes, viewer.layers["tissue"])
    centre = np.array([125.5, 250.5])
    distance = np.hypot(*((ellipse - centre) / [25, 50]).T)
    assert ((distance >= 1) & (distance < 1.01)).all()
    np.testing.assert_allclose([thin.min(0), thin.max(0)], [[10, 10], [11, 21]])


def test_shapes_with_nothing_drawn_are_asked_for_beside_the_field(qtbot: QtBot, dock, viewer, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.extent.setValue(Extent("shapes"))
    dock.panel.progress.main.click()
    assert "press Draw" in dock.panel.notices["roi"].value().sentence
    assert not pipeline.runs


def test_tissue_leaves_out_the_glass(qtbot: QtBot, dock, pipeline) -> None:
    dock.panel.extent.setValue(Extent("tissue"))
    run = started(qtbot, dock, pipeline)
    assert run.options["roi"] == "tissue"
    assert run.options["whole"] is True


def test_a_layer_of_shapes_that_is_removed_is_no_choice_any_more(dock, viewer) -> None:
    first, second = (viewer.add_shapes([RECTANGLE], name=name) for name in ("one", "two"))
    dock.panel.extent.setValue(Extent("shapes", str(second.unique_id)))
    viewer.layers.remove(second)
    assert dock.panel.extent.value() == Extent("shapes", str(first.unique_id))
    viewer.layers.remove(first)
    assert dock.panel.extent.value() == Extent("shapes", None)


def finish(qtbot: QtBot, dock: SeamlessDock, run: FakeRun) -> None:
    run.land(Region.of((0, 512), (0, 512)), 1)
    run.end()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished")


def test_a_result_is_found_again_when_the_same_model_is_asked_a_second_time(
    qtbot: QtBot, dock, viewer, pipeline
) -> None:
    first = started(qtbot, dock, pipeline)
    finish(qtbot, dock, first)
    (layer,) = dock.result_layers
    layer.opacity = 0.3
    dock.choose_model("stain")
    other = started(qtbot, dock, pipeline)
    finish(qtbot, dock, other)
    assert other.options["output"] != first.options["output"]
    assert layer in viewer.layers, "the result of another model must stay"
    dock.choose_model("nuclei")
    again = started(qtbot, dock, pipeline)
    assert again.options["output"] == first.options["output"]
    assert dock.result_layers == [layer]
    assert layer.opacity == pytest.approx(0.3)
    assert [each.name for each in viewer.layers].count("tissue: nuclei") == 1
    again.land(Region.of((0, 512), (512, 600)), 2)
    qtbot.waitUntil(lambda: np.asarray(layer.data[0] if layer.multiscale else layer.data)[5, 550] == 2)


def test_a_result_over_tissue_is_another_one(qtbot: QtBot, dock, pipeline) -> None:
    whole = started(qtbot, dock, pipeline)
    finish(qtbot, dock, whole)
    dock.panel.extent.setValue(Extent("tissue"))
    tissue = started(qtbot, dock, pipeline)
    assert tissue.options["output"] != whole.options["output"]


def test_a_result_whose_layer_was_removed_begins_anew(qtbot: QtBot, dock, viewer, pipeline) -> None:
    first = started(qtbot, dock, pipeline)
    finish(qtbot, dock, first)
    viewer.layers.remove(dock.result_layers[0])
    again = started(qtbot, dock, pipeline)
    (layer,) = dock.result_layers
    assert layer in viewer.layers
    assert again is not first
