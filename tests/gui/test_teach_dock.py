"""The dock that teaches, in a real viewer, with a lesson that makes everything the class that is painted most."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

from napari_seamless._napari.teach import canvas, dock
from napari_seamless._napari.teach.controller import TeachController
from napari_seamless._napari.teach.dock import TeachDock
from napari_seamless._napari.teach.state import Prediction, TeachSnapshot
from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.training.loop.events import StepDone, Validated
from napari_seamless.training.loop.metrics import ValidationMetrics


class FakeLesson:
    """Steps until it is stopped, one each time that the gate is opened, or freely once it stays open."""

    def __init__(self, classes: Sequence[LabelClass], gate: Event) -> None:
        self.classes, self.gate = tuple(classes), gate
        self.labels: NDArray[np.uint8] | None = None
        self.step, self.kept = 0, list[str]()

    def rename(self, classes: Sequence[LabelClass]) -> None:
        self.classes = tuple(classes)

    def paint(self, labels: NDArray[np.uint8], _step: int) -> None:
        self.labels = labels

    def learn(self, stop: Callable[[], bool]) -> Iterator[Any]:
        if self.labels is None or not self.labels.any():
            raise BadRequest("nothing is painted yet; paint a few strokes of each")
        while not stop():
            if not self.gate.wait(0.02):
                continue
            self.step += 1
            yield StepDone(self.step, 1000, 1 / self.step, 0.001, ())
            yield Validated(self.step, ValidationMetrics(1, 0.5, 0.75), True)

    def preview(self, region: Region, _stop: Callable[[], bool]) -> NDArray[np.uint8]:
        assert self.labels is not None
        return np.full(region.shape, np.bincount(self.labels[self.labels > 0]).argmax(), np.uint8)

    def save(self, name: str) -> Path:
        self.kept.append(name)
        return Path(name)


class FakeTeaching:
    """Stands in for the pipeline."""

    def __init__(self) -> None:
        self.gate = Event()
        self.lessons: list[FakeLesson] = []

    def Lesson(self, _image: Any, classes: Sequence[LabelClass], **_options: Any) -> FakeLesson:
        self.lessons.append(FakeLesson(classes, self.gate))
        return self.lessons[-1]

    def added_models(self) -> Sequence[str]:
        return [name for lesson in self.lessons for name in lesson.kept]


@pytest.fixture
def teaching() -> Iterator[FakeTeaching]:
    found = FakeTeaching()
    found.gate.set()
    yield found
    found.gate.set()


@pytest.fixture
def teacher(viewer: napari.Viewer, teaching: FakeTeaching, monkeypatch: pytest.MonkeyPatch) -> TeachDock:
    monkeypatch.setattr(dock, "TeachController", lambda backend, jobs: TeachController(backend, jobs, look_seconds=0.0))
    found = TeachDock(viewer, teaching)
    viewer.window.add_dock_widget(found, name="teach")
    return found


def stroke(teacher: TeachDock, value: int, rows: slice = slice(10, 20)) -> Labels:
    layer = teacher.paint()
    assert layer is not None
    layer.data[rows, 10:200] = value
    return layer


def test_paint_makes_a_layer_of_strokes_over_the_image_with_a_brush(viewer: napari.Viewer, teacher: TeachDock) -> None:
    layer = teacher.paint()
    assert layer is not None
    assert viewer.layers.selection.active is layer
    assert (layer.mode, layer.selected_label, layer.data.shape) == ("paint", 1, (600, 800))
    assert teacher.paint() is layer


@pytest.mark.parametrize("column", [0, 1], ids=["colour", "name"])
def test_a_class_that_is_clicked_is_the_one_that_is_painted_and_keeps_its_colour_in_sight(
    viewer: napari.Viewer, teacher: TeachDock, qtbot: QtBot, column: int
) -> None:
    viewer.show()
    table = teacher.panel.classes
    qtbot.waitUntil(lambda: table.rowHeight(1) > 0 and table.isVisible())

    def click() -> bool:
        """The rows still move while the window is laid out."""
        cell = table.visualItemRect(table.item(1, column)).center()
        qtbot.mouseClick(table.viewport(), Qt.MouseButton.LeftButton, pos=cell)
        return table.item(1, 1).isSelected()

    qtbot.waitUntil(click)
    layer = teacher.paint()
    assert layer is not None
    assert layer.selected_label == 2
    swatch = table.visualItemRect(table.item(1, 0)).center()
    assert table.viewport().grab().toImage().pixelColor(swatch).name() == table.value()[1].colour


def test_what_is_learned_appears_below_the_strokes_while_it_learns(
    viewer: napari.Viewer, teacher: TeachDock, qtbot: QtBot
) -> None:
    strokes = stroke(teacher, 2)
    teacher.teach()
    qtbot.waitUntil(lambda: any(canvas.TAUGHT in layer.metadata for layer in viewer.layers), timeout=20000)
    (taught,) = (layer for layer in viewer.layers if canvas.TAUGHT in layer.metadata)
    assert (np.asarray(taught.data) == 2).all()
    assert viewer.layers.index(taught) < viewer.layers.index(strokes)
    assert viewer.layers.selection.active is strokes
    teacher._controller.stop()


def test_strokes_painted_meanwhile_are_taken_in(viewer: napari.Viewer, teacher: TeachDock, qtbot: QtBot) -> None:
    layer = stroke(teacher, 2)
    teacher.teach()
    qtbot.waitUntil(lambda: teacher.poll().step > 0, timeout=20000)
    layer.data[100:300, 10:600] = 1

    def is_one() -> bool:
        looked = teacher.poll().prediction
        return looked is not None and bool((looked.labels == 1).all())

    qtbot.waitUntil(is_one, timeout=20000)
    teacher._controller.stop()


def test_a_new_look_without_a_new_step_is_noticed() -> None:
    region = Region.of((0, 2), (0, 2))
    first, second = (TeachSnapshot(prediction=Prediction(region, np.full((2, 2), k, np.uint8), 1)) for k in (1, 2))
    assert first != second


def test_stop_keeps_the_lesson_and_teach_goes_on_with_it(
    teacher: TeachDock, teaching: FakeTeaching, qtbot: QtBot
) -> None:
    stroke(teacher, 1)
    teacher.panel.teachPressed.emit()
    qtbot.waitUntil(lambda: teacher.poll().step > 2, timeout=20000)
    teacher.panel.stopPressed.emit()
    qtbot.waitUntil(lambda: not teacher.poll().is_teaching, timeout=20000)
    stopped = teacher.snapshot.step
    teacher.panel.teachPressed.emit()
    qtbot.waitUntil(lambda: teacher.poll().step > stopped, timeout=20000)
    assert len(teaching.lessons) == 1
    assert teacher.panel.curve.value()[1][-1][1] == 0.75
    teacher._controller.stop()


def test_one_class_more_begins_another_lesson(teacher: TeachDock, teaching: FakeTeaching, qtbot: QtBot) -> None:
    stroke(teacher, 1)
    for count in (1, 2):
        teacher.teach()
        qtbot.waitUntil(lambda: teacher.poll().step > 0, timeout=20000)
        teacher._controller.stop()
        qtbot.waitUntil(lambda: not teacher.poll().is_teaching, timeout=20000)
        assert len(teaching.lessons) == count
        teacher.panel.classPressed.emit()
    assert [c.value for c in teaching.lessons[-1].classes] == [1, 2, 3]


def test_what_is_kept_can_be_begun_with(teacher: TeachDock, teaching: FakeTeaching, qtbot: QtBot) -> None:
    stroke(teacher, 1)
    teacher.teach()
    qtbot.waitUntil(lambda: teacher.poll().step > 0, timeout=20000)
    teacher._controller.stop()
    qtbot.waitUntil(lambda: not teacher.poll().is_teaching, timeout=20000)
    teacher.panel.keepRequested.emit("my-tissue")
    qtbot.waitUntil(lambda: teacher.poll().message.startswith("Kept as my-tissue"), timeout=20000)
    assert teacher.panel.network.findData("my-tissue") > 0


def test_nothing_painted_is_said_in_one_sentence(teacher: TeachDock, qtbot: QtBot) -> None:
    teacher.teach()
    qtbot.waitUntil(lambda: teacher.poll().problem is not None, timeout=20000)
    assert teacher.snapshot.problem is not None
    assert teacher.snapshot.problem.notice.sentence.startswith("Nothing is painted yet")
    assert not teacher.snapshot.is_teaching


def test_strokes_on_a_large_image_are_coarser_than_it(viewer: napari.Viewer, teacher: TeachDock) -> None:
    viewer.layers.clear()
    viewer.add_image(np.broadcast_to(np.uint8(9), (8000, 100)), name="long", scale=(0.5, 0.5))
    layer = teacher.paint()
    assert layer is not None
    assert layer.data.shape == (2667, 34)
    assert np.allclose(layer.scale, (1.5, 1.5))
    assert np.allclose(layer.data_to_world((0, 0)), (0.5, 0.5))


def test_a_lesson_ends_with_its_dock(viewer: napari.Viewer, teacher: TeachDock, qtbot: QtBot) -> None:
    stroke(teacher, 1)
    teacher.teach()
    qtbot.waitUntil(lambda: teacher.poll().step > 0, timeout=20000)
    viewer.window.remove_dock_widget(teacher)
