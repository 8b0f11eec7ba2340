"""Keys, menus and the command palette work the dock; every control has a name."""

from __future__ import annotations

from typing import Any

import pytest
from npe2 import PluginManifest
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QAbstractButton, QAbstractSpinBox, QApplication, QComboBox, QLineEdit, QSlider, QWidget

from docks import docked
from napari_seamless._napari import commands
from napari_seamless._napari.run.shortcuts import CANCEL, DRAW, RUN


def press(viewer: Any, key: str) -> None:
    """What napari does when a key is pressed over the canvas."""
    handler = viewer.window._qt_viewer._key_map_handler
    handler.press_key(key)
    handler.release_key(key)


def test_keys_run_pause_and_cancel(qtbot: QtBot, dock, viewer, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    press(viewer, RUN)
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    press(viewer, RUN)
    assert pipeline.runs[-1].now.state == "paused"
    press(viewer, RUN)
    assert pipeline.runs[-1].now.state == "running"
    press(viewer, CANCEL)
    qtbot.waitUntil(lambda: dock.poll().phase == "cancelled")


def test_a_key_draws_where_to_run(qtbot: QtBot, dock, viewer) -> None:
    press(viewer, DRAW)
    assert viewer.layers[-1].mode == "add_rectangle"
    assert dock.panel.extent.value().kind == "shapes"


def test_keys_are_given_back_with_the_dock(qtbot: QtBot, dock, viewer) -> None:
    assert RUN in {str(key) for key in viewer.keymap}
    viewer.window.remove_dock_widget(dock)
    assert RUN not in {str(key) for key in viewer.keymap}


def test_a_key_that_is_in_use_stays_with_its_user(viewer, pipeline) -> None:
    pressed: list[object] = []
    viewer.bind_key(RUN, pressed.append)
    dock = docked(viewer, pipeline)
    press(viewer, RUN)
    assert len(pressed) == 1
    viewer.window.remove_dock_widget(dock)
    press(viewer, RUN)
    assert len(pressed) == 2


def test_commands_work_the_dock_that_is_open(qtbot: QtBot, dock, viewer, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    assert commands.dock_of(viewer) is dock
    commands.copy_python(viewer)
    assert "ns.run(" in QApplication.clipboard().text()
    commands.copy_command(viewer)
    assert QApplication.clipboard().text().startswith("napari-seamless run")
    commands.draw(viewer)
    assert viewer.layers[-1].mode == "add_rectangle"
    dock.panel.extent.setValue(type(dock.panel.extent.value())())
    commands.run_or_pause(viewer)
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    commands.cancel(viewer)
    qtbot.waitUntil(lambda: dock.poll().phase == "cancelled")


def test_the_manifest_puts_the_dock_into_menus_and_every_command_into_the_palette() -> None:
    contributions = PluginManifest.from_distribution("napari-seamless").contributions
    shown = {item.command for items in contributions.menus.values() for item in items}
    assert "napari-seamless.open" in shown
    assert {"napari/layers/segment", "napari/layers/filter"} <= set(contributions.menus)
    for name in ("open_dock", "run_or_pause", "cancel", "draw", "copy_python", "copy_command"):
        assert f"napari_seamless._napari.commands:{name}" in {c.python_name for c in contributions.commands}
        assert callable(getattr(commands, name))


CONTROLS = (QAbstractButton, QComboBox, QSlider, QAbstractSpinBox, QLineEdit)


def test_every_control_has_a_name_for_those_who_cannot_see_it(dock) -> None:
    def is_inner(widget: QWidget) -> bool:
        return isinstance(widget.parent(), QAbstractSpinBox | QComboBox | QLineEdit)

    nameless = [
        f"{type(widget).__name__} in {type(widget.parent()).__name__}"
        for kind in CONTROLS
        for widget in dock.panel.findChildren(kind)
        if not widget.isHidden()
        and not is_inner(widget)
        and not (widget.accessibleName() or getattr(widget, "text", str)())
    ]
    assert not nameless


@pytest.mark.parametrize("name", ["main", "cancel", "export"])
def test_buttons_say_what_they_do(dock, name: str) -> None:
    assert getattr(dock.panel.progress, name).toolTip()
