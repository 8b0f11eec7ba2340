"""Names are shown whole where there is room, and shortened where there is none; they are never cut off."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QStyleOptionComboBox, QTableWidget

from napari_seamless._napari.widgets import NameList

MANIFEST = PluginManifest.from_file(Path(str(files("napari_seamless") / "napari.yaml")))
WIDGETS = {widget.display_name: widget for widget in MANIFEST.contributions.widgets or ()}


@pytest.fixture(params=WIDGETS)
def docked(request: pytest.FixtureRequest, make_napari_viewer: Callable[..., Any]) -> tuple[Any, Any]:
    """The dock that napari puts one of our widgets in, and the widget, in the window of a laptop."""
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(1366, 768)
    widget = WIDGETS[request.param].get_callable()(viewer)
    dock = viewer.window.add_dock_widget(widget, name=f"{request.param} ({MANIFEST.name})", area="right")
    return dock, widget


def test_a_dock_has_room_for_its_title_and_leaves_room_for_the_image(docked: tuple[Any, Any], qtbot: QtBot) -> None:
    dock, _ = docked
    title = dock.title.title
    qtbot.waitUntil(lambda: title.width() >= title.sizeHint().width() > 100)
    assert title.geometry().right() < dock.title.width()
    assert dock.width() < 400


@pytest.mark.parametrize("docked", ["Teach by painting"], indirect=True)
def test_the_first_classes_of_a_lesson_are_seen_without_scrolling(docked: tuple[Any, Any], qtbot: QtBot) -> None:
    _, widget = docked
    (table,) = widget.findChildren(QTableWidget)
    qtbot.waitUntil(lambda: table.isVisible() and not table.verticalScrollBar().isVisible())
    assert table.rowCount() == 2


@pytest.mark.parametrize("width", [110, 160])
def test_a_name_that_is_too_long_keeps_both_ends(qtbot: QtBot, width: int) -> None:
    names = NameList("Image")
    qtbot.addWidget(names)
    names.addItem("TCGA-02-0001-01Z-00-DX1.83fce43e.svs")
    names.resize(width, 24)
    option = QStyleOptionComboBox()
    names.initStyleOption(option)
    first, last = option.currentText.split("…")
    assert names.currentText().startswith(first)
    assert names.currentText().endswith(last)
    assert names.fontMetrics().horizontalAdvance(option.currentText) < width - 15, "the arrow needs room, too"


def test_a_name_that_fits_is_whole(qtbot: QtBot) -> None:
    names = NameList("Model")
    qtbot.addWidget(names)
    names.addItem("nuclei")
    names.resize(160, 24)
    option = QStyleOptionComboBox()
    names.initStyleOption(option)
    assert option.currentText == "nuclei"
