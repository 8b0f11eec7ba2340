"""The dock that measures, in a real viewer, on real (small) results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import napari
import numpy as np
import pytest
from napari.layers import Labels
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtCore import Qt
from qtpy.QtGui import QGuiApplication
from scipy import ndimage

import napari_seamless as ns
from label_images import SHAPE, cells, store_of
from napari_seamless._napari.backend import lazy_backend
from napari_seamless._napari.measure.classes import COUNTED, NAME, SHOWN
from napari_seamless._napari.measure.commands import open_measuring
from napari_seamless._napari.measure.dock import MeasureDock
from napari_seamless._napari.measure.state import VIEW, ClassRow
from napari_seamless.geometry import Region
from napari_seamless.measurement.measure import label_outlines
from napari_seamless.runs.origin import origin_of
from napari_seamless.store import Store, open_store


class Gated:
    """The real pipeline, held back after the first piece until the test opens the gate."""

    def __init__(self) -> None:
        self.gate, self.begun = Event(), Event()

    def measure(self, *arguments: Any, on_progress: Callable[[int, int], None], **options: Any) -> Any:
        def show(done: int, total: int) -> None:
            on_progress(done, total)
            self.begun.set()
            self.gate.wait(5)

        return ns.measure(*arguments, on_progress=show, **options)

    def label_outlines(self, rings: Any) -> Any:
        return label_outlines(rings)

    def open_result(self, path: str | Path) -> Store:
        return open_store(path)

    def origin_of(self, result: Store) -> Any:
        return origin_of(result)


@pytest.fixture
def labels() -> NDArray[np.uint8]:
    return cells()


@pytest.fixture
def path(tmp_path: Path, labels: NDArray[np.uint8]) -> Path:
    store_of(labels, tmp_path / "nuclei.ome.zarr")
    return tmp_path / "nuclei.ome.zarr"


@pytest.fixture
def viewer(make_napari_viewer: Callable[..., napari.Viewer]) -> napari.Viewer:
    return make_napari_viewer()


def docked(viewer: napari.Viewer, pipeline: Any = None) -> MeasureDock:
    dock = MeasureDock(viewer, pipeline or lazy_backend())
    viewer.window.add_dock_widget(dock, name="measure")
    return dock


@pytest.fixture
def dock(viewer: napari.Viewer, path: Path, qtbot: QtBot) -> MeasureDock:
    """A dock with a result open in it."""
    dock = docked(viewer)
    dock.open(path)
    qtbot.waitUntil(lambda: dock.panel.labels.currentText() == "nuclei", timeout=5000)
    return dock


def measured(qtbot: QtBot, dock: MeasureDock) -> Any:
    dock.panel._main.click()
    qtbot.waitUntil(lambda: not dock.poll().is_measuring, timeout=10000)
    assert dock.snapshot.problem is None
    return dock.snapshot.found


def cell(dock: MeasureDock, row: int, column: int) -> Any:
    item = dock.panel.classes.item(row, column)
    assert item is not None
    return item


def test_a_result_is_measured_and_shown(qtbot: QtBot, dock: MeasureDock, path: Path) -> None:
    found, expected = measured(qtbot, dock), ns.measure(path)
    assert found.areas == expected.areas
    assert found.objects["pixels"].tolist() == expected.objects["pixels"].tolist()
    table = dock.panel.areas
    assert [table.item(row, 0).text() for row in range(3)] == ["background", "nucleus", "boundary"]
    assert table.item(1, 1).text() == f"{expected.areas[1].mm:,.4g}"
    assert table.item(1, 3).text() == f"{expected.count():,}"
    bars = dock.panel.histogram.value()
    assert bars is not None
    assert bars.counts.sum() + bars.beyond == expected.count()
    assert bars.colour == "#1fd160"


def test_nothing_is_shown_before_there_is_something(viewer: napari.Viewer) -> None:
    open_measuring(viewer)
    open_measuring(viewer)
    (dock,) = viewer.window.dock_widgets.values()
    assert isinstance(dock, MeasureDock)
    panel = dock.panel
    assert not panel._main.isEnabled()
    assert panel._status.text() == "Open a result, or add a labels layer, to begin."
    for widget in (panel.areas, panel.objects, panel.histogram, panel.classes, panel._save):
        assert widget.isHidden()
    assert panel.minimumSizeHint().width() < 420


def test_any_labels_layer_is_measured(qtbot: QtBot, viewer: napari.Viewer, labels: NDArray[np.uint8]) -> None:
    dock = docked(viewer)
    viewer.add_labels(labels, name="drawn")
    found = measured(qtbot, dock)
    assert {a.value: a.pixels for a in found.areas} == dict(enumerate(np.bincount(labels.ravel()).tolist()))
    assert [row.value for row in dock.panel.classes.value()] == [0, 1, 2]
    assert "the size of a pixel is not known" in " ".join(found.notes)
    assert "so areas are in pixels." in dock.panel._notes.text()  # without what to do in Python and in a shell
    pyramid = viewer.add_labels([labels, labels[::2, ::2]], multiscale=True, name="pyramid", scale=(2, 2), units="um")
    dock.panel.labels.setCurrentIndex(dock.panel.labels.findText("pyramid"))
    assert measured(qtbot, dock).areas[1].area == pytest.approx(4 * (labels == 1).sum())
    assert pyramid in viewer.layers


def own_colour(value: int) -> str:
    """What napari itself gives a label."""
    colour = Labels(np.zeros((2, 2), np.uint8)).get_color(value)
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour[:3])


@pytest.fixture
def nameless(viewer: napari.Viewer, tmp_path: Path, labels: NDArray[np.uint8], qtbot: QtBot) -> MeasureDock:
    """A dock with the result of a network that names no classes; there is something of class 7 at the right only."""
    labels[90:99, 280:290] = 7
    store_of(labels, tmp_path / "own.ome.zarr", classes=(), name="own")
    dock = docked(viewer)
    dock.open(tmp_path / "own.ome.zarr")
    qtbot.waitUntil(lambda: dock.panel.labels.currentText() == "own", timeout=5000)
    return dock


def test_classes_without_names_are_seen_listed_and_counted(
    qtbot: QtBot, nameless: MeasureDock, labels: NDArray[np.uint8], viewer: Any
) -> None:
    dock, layer = nameless, viewer.layers["own"]
    assert not dock.panel.classes.value()
    assert layer.get_color(0) is None, "the background is transparent"
    assert layer.get_color(7)[3] == 1, "labels without a name must be seen"
    found = measured(qtbot, dock)
    rows = [(row.value, row.name, row.colour, row.is_counted) for row in dock.panel.classes.value()]
    assert rows == [
        (0, "background", "#000000", False),
        *((value, f"class {value}", own_colour(value), True) for value in (1, 2, 7)),
    ]
    table = dock.panel.areas
    assert [table.item(row, 0).text() for row in range(4)] == ["background", "class 1", "class 2", "class 7"]
    assert [table.item(row, 3).text() for row in (1, 2, 3)] == [
        f"{ndimage.label(labels == value)[1]:,}" for value in (1, 2, 7)
    ]
    swatch = table.item(3, 0).data(Qt.ItemDataRole.DecorationRole)
    assert swatch.name() == own_colour(7)
    again = measured(qtbot, dock)
    assert [(area.value, area.pixels) for area in again.areas] == [(area.value, area.pixels) for area in found.areas]
    assert again.counted == found.counted


def test_a_label_that_is_met_later_gets_its_row_then(qtbot: QtBot, nameless: MeasureDock, path: Path) -> None:
    dock = nameless
    dock._viewer.scene.camera.center, dock._viewer.scene.camera.zoom = (50, 40), 12
    dock.panel.where.setCurrentIndex(dock.panel.where.findData(VIEW))
    measured(qtbot, dock)
    assert [row.value for row in dock.panel.classes.value()] == [0, 1, 2]
    dock.panel.where.setCurrentIndex(0)
    assert "class 7" in measured(qtbot, dock).counted
    assert [row.value for row in dock.panel.classes.value()] == [0, 1, 2, 7]
    cell(dock, 3, COUNTED).setCheckState(Qt.CheckState.Unchecked)
    assert measured(qtbot, dock).counted == ("class 1", "class 2")


def test_classes_without_names_are_named(qtbot: QtBot, nameless: MeasureDock, viewer: Any, tmp_path: Path) -> None:
    layer = viewer.layers["own"]
    measured(qtbot, nameless)
    cell(nameless, 3, NAME).setText("mitosis")
    np.testing.assert_allclose(layer.get_color(7)[:3], [int(own_colour(7)[k : k + 2], 16) / 255 for k in (1, 3, 5)])
    np.testing.assert_allclose(layer.get_color(9)[:3], [0x80 / 255] * 3, err_msg="what has no row is not hidden")
    qtbot.waitUntil(lambda: nameless.poll().message.startswith("Names and colours are saved"), timeout=5000)
    assert {c.value: c.name for c in open_store(tmp_path / "own.ome.zarr").classes}[7] == "mitosis"


def test_a_value_beyond_the_named_classes_is_counted_and_shown(qtbot: QtBot, dock: MeasureDock, path: Path) -> None:
    layer = dock._viewer.layers["nuclei"]
    store = open_store(path)
    store.write(Region.of((0, 64), (0, 64)), np.full((1, 64, 64), 5, np.uint8))
    store.commit(Region.of((0, 64), (0, 64)))
    dock.open(path)
    qtbot.waitUntil(lambda: len(dock._viewer.layers) == 2, timeout=5000)
    layer = dock._viewer.layers[-1]
    assert layer.get_color(5)[3] == 0
    found = measured(qtbot, dock)
    assert (found.count("class 5"), found.counted) == (1, ("nucleus", "class 5"))
    assert [row.name for row in dock.panel.classes.value()] == ["background", "nucleus", "boundary", "class 5"]
    assert layer.get_color(5)[3] == 1
    assert dock.panel.boundary.currentText() == "boundary"


def test_what_is_on_screen_is_measured(qtbot: QtBot, dock: MeasureDock, viewer: napari.Viewer, path: Path) -> None:
    from napari_seamless._napari.layers.view import visible_region

    viewer.scene.camera.center, viewer.scene.camera.zoom = (50, 60), 12
    view = visible_region(viewer, viewer.layers["nuclei"])
    assert view is not None
    assert view.size < SHAPE[0] * SHAPE[1] / 2
    dock.panel.where.setCurrentIndex(dock.panel.where.findData(VIEW))
    assert measured(qtbot, dock).areas == ns.measure(path, region=view).areas


def assert_ellipse(viewer: Any) -> None:
    """An ellipse encloses what an ellipse does, and a line nothing."""
    from napari_seamless._napari.layers.drawn_shapes import outlines

    box = np.array([(10, 20), (10, 60), (40, 60), (40, 20)]) * 0.5
    shapes = viewer.add_shapes([box], shape_type="ellipse")
    shapes.add_lines(np.array([[0, 0], [5, 5]]))
    (ring,) = outlines(shapes, viewer.layers["nuclei"])
    np.testing.assert_allclose(((ring - (25, 40)) ** 2 / np.array([15, 20]) ** 2).sum(1), 1)


def test_shapes_are_measured_wherever_the_layers_lie(
    qtbot: QtBot, dock: MeasureDock, viewer: napari.Viewer, path: Path
) -> None:
    corners = np.array([(29.5, 49.5), (29.5, 269.5), (169.5, 269.5), (169.5, 49.5)])
    shapes = viewer.add_shapes([corners * 0.5 + 10], shape_type="rectangle", translate=(-10, -10), name="tumour")
    dock.panel.where.setCurrentIndex(dock.panel.where.findText("Inside tumour"))
    expected = ns.measure(path, region=Region.of((30, 170), (50, 270)))
    assert measured(qtbot, dock).areas == expected.areas
    assert_ellipse(viewer)
    shapes.data = []
    dock.panel._main.click()
    assert dock.snapshot.problem is not None
    assert "shapes must enclose something; tumour has no polygon" in dock.snapshot.problem.notice.sentence.lower()


def test_names_and_colours_are_shown_at_once_and_saved(
    qtbot: QtBot, dock: MeasureDock, path: Path, viewer: Any
) -> None:
    layer = viewer.layers["nuclei"]
    cell(dock, 1, NAME).setText("lymphocyte")
    rows = dock.panel.classes.value()
    dock.panel.classes.setValue((*rows[:1], ClassRow(1, "lymphocyte", "#0000ff", is_counted=True), *rows[2:]))
    assert list(layer.features["class"]) == ["background", "lymphocyte", "boundary"]
    np.testing.assert_allclose(layer.get_color(1), [0, 0, 1, 1])
    qtbot.waitUntil(lambda: dock.poll().message.startswith("Names and colours are saved"), timeout=5000)
    again = open_store(path).classes
    assert [(c.name, c.colour) for c in again][1] == ("lymphocyte", "#0000ff")
    assert measured(qtbot, dock).counted == ("lymphocyte",)


def test_what_was_typed_last_is_saved_when_the_window_is_closed(
    qtbot: QtBot, dock: MeasureDock, path: Path, viewer: Any
) -> None:
    cell(dock, 1, NAME).setText("plasma cell")
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: open_store(path).classes[1].name == "plasma cell", timeout=5000)


def test_labels_look_as_they_are_wanted(dock: MeasureDock, viewer: Any, path: Path) -> None:
    layer = viewer.layers["nuclei"]
    cell(dock, 2, SHOWN).setCheckState(Qt.CheckState.Unchecked)
    assert layer.get_color(2)[3] == 0
    assert layer.get_color(1)[3] == 1
    cell(dock, 2, SHOWN).setCheckState(Qt.CheckState.Checked)
    assert layer.get_color(2)[3] == 1
    assert open_store(path).classes[2].colour == "#ffe119"
    dock.panel.opacity.setValue(30)
    dock.panel.contour.setValue(2)
    assert (layer.opacity, layer.contour) == (0.3, 2)
    layer.opacity, layer.contour = 0.9, 0
    assert (dock.panel.opacity.value(), dock.panel.contour.value()) == (90, 0)


def test_the_boundary_is_no_object_and_classes_are_counted_as_wanted(qtbot: QtBot, dock: MeasureDock) -> None:
    assert dock.panel.boundary.currentText() == "boundary"
    assert [row.is_counted for row in dock.panel.classes.value()] == [False, True, False]
    dock.panel.boundary.setCurrentIndex(0)
    cell(dock, 2, COUNTED).setCheckState(Qt.CheckState.Checked)
    assert set(measured(qtbot, dock).objects["class"]) == {"nucleus", "boundary"}
    dock.panel.boundary.setCurrentIndex(dock.panel.boundary.findText("boundary"))
    assert [row.is_counted for row in dock.panel.classes.value()] == [False, True, False]
    cell(dock, 1, COUNTED).setCheckState(Qt.CheckState.Unchecked)
    assert not measured(qtbot, dock).objects
    assert dock.panel.objects.isHidden()


def test_a_row_of_the_table_moves_the_camera_to_its_object(qtbot: QtBot, dock: MeasureDock, viewer: Any) -> None:
    from napari_seamless._napari.layers.view import visible_region

    found = measured(qtbot, dock)
    dock.panel.objects.sortByColumn(1, Qt.SortOrder.DescendingOrder)
    dock.panel.objects.selectRow(0)
    largest = int(found.objects["pixels"].argmax())
    centre = [(found.objects[f"{a}_min"][largest] + found.objects[f"{a}_max"][largest] - 1) / 2 for a in "yx"]
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], np.array(centre) * 0.5)
    view = visible_region(viewer, viewer.layers["nuclei"])
    assert view is not None
    box = Region.of(*((int(found.objects[f"{a}_min"][largest]), int(found.objects[f"{a}_max"][largest])) for a in "yx"))
    assert view.contains(box)


def test_objects_are_saved_copied_and_become_points(
    qtbot: QtBot, dock: MeasureDock, tmp_path: Path, viewer: Any
) -> None:
    found = measured(qtbot, dock)
    dock.panel.saveRequested.emit(tmp_path / "o.csv")
    qtbot.waitUntil(lambda: dock.poll().message.startswith("Saved"), timeout=5000)
    assert len((tmp_path / "o.csv").read_text().splitlines()) == found.count() + 1
    dock.panel._copy.click()
    clipboard = QGuiApplication.clipboard()
    assert clipboard is not None
    assert clipboard.text().splitlines()[2].split("\t")[0] == "nucleus"
    (tmp_path / "file").write_text("")
    dock.panel.saveRequested.emit(tmp_path / "file" / "o.csv")
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=5000)
    assert "must be written to" in dock.snapshot.problem.notice.sentence
    dock.panel._points.click()
    points = viewer.layers["nuclei: centroids"]
    np.testing.assert_allclose(points.data, np.stack([found.objects["y"], found.objects["x"]], 1))
    np.testing.assert_allclose(points.scale, viewer.layers["nuclei"].scale)
    assert points.features["area_um2"].tolist() == found.objects["area_um2"].tolist()


def test_measuring_is_cancelled_and_leaves_the_window_alive(qtbot: QtBot, viewer: Any, path: Path) -> None:
    gated = Gated()
    dock = docked(viewer, gated)
    dock.open(path)
    qtbot.waitUntil(lambda: dock.panel.labels.currentText() == "nuclei", timeout=5000)
    dock.panel._main.click()
    assert dock.panel._main.text() == "Measuring…"
    qtbot.waitUntil(gated.begun.is_set, timeout=5000)
    dock.panel._cancel.click()
    assert dock.poll().is_stopping
    gated.gate.set()
    qtbot.waitUntil(lambda: not dock.poll().is_measuring, timeout=5000)
    assert (dock.snapshot.found, dock.snapshot.problem) == (None, None)
    assert measured(qtbot, dock).count() > 0


def test_a_layer_that_goes_away_takes_its_numbers_with_it(qtbot: QtBot, dock: MeasureDock, viewer: Any) -> None:
    viewer.add_layer(
        Labels(np.ones((5, 5), np.uint8), name="estimated", metadata={"napari_seamless": {"preview": True}})
    )
    assert dock.panel.labels.findText("estimated") == -1
    measured(qtbot, dock)
    viewer.layers.remove("nuclei")
    assert dock.poll().found is None
    assert dock.panel.areas.isHidden()
    assert not dock.panel._main.isEnabled()


def test_closing_the_dock_while_it_measures_leaves_nothing_behind(qtbot: QtBot, viewer: Any, path: Path) -> None:
    gated = Gated()
    dock = docked(viewer, gated)
    dock.open(path)
    qtbot.waitUntil(lambda: dock.panel.labels.currentText() == "nuclei", timeout=5000)
    dock.measure()
    qtbot.waitUntil(gated.begun.is_set, timeout=5000)
    viewer.window.remove_dock_widget(dock)
    gated.gate.set()


def test_problems_are_told_in_a_sentence(qtbot: QtBot, dock: MeasureDock, viewer: Any, tmp_path: Path) -> None:
    viewer.add_image(np.zeros((7, 9), np.uint8), name="other")
    dock.panel.image.setCurrentIndex(dock.panel.image.findText("other"))
    dock.panel._main.click()
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=5000)
    assert dock.panel.notice.value() is not None
    assert "must have the shape of the labels" in dock.snapshot.problem.notice.sentence
    dock.open(tmp_path / "nothing.ome.zarr")
    qtbot.waitUntil(lambda: "nothing.ome.zarr" in str(dock.poll().problem), timeout=5000)
