"""What napari's menus and its command palette offer. Each works on the dock of a viewer, and opens it where needed."""

from __future__ import annotations

from typing import Any

import napari

from napari_seamless._napari.run.copy_as import as_command, as_python
from napari_seamless._napari.run.dock import SeamlessDock

PLUGIN = "napari-seamless"


def open_dock(viewer: napari.viewer.Viewer) -> None:
    """Shows the dock."""
    dock_of(viewer)


def run_or_pause(viewer: napari.viewer.Viewer) -> None:
    """Presses the main button: run, pause or resume."""
    dock_of(viewer).press_main()


def cancel(viewer: napari.viewer.Viewer) -> None:
    """Cancels the run; what is finished stays."""
    dock_of(viewer).press_cancel()


def draw(viewer: napari.viewer.Viewer) -> None:
    """Lets the user draw where to run."""
    dock_of(viewer).draw()


def copy_python(viewer: napari.viewer.Viewer) -> None:
    """Puts what is chosen onto the clipboard, as a script."""
    dock_of(viewer).copy_as(as_python)


def copy_command(viewer: napari.viewer.Viewer) -> None:
    """Puts what is chosen onto the clipboard, as a command line."""
    dock_of(viewer).copy_as(as_command)


def dock_of(viewer: Any) -> SeamlessDock:
    """The dock of a viewer, opened if it is not there yet."""
    for widget in viewer.window.dock_widgets.values():
        if isinstance(widget, SeamlessDock):
            return widget
    _, made = viewer.window.add_plugin_dock_widget(PLUGIN, "Run a network")
    dock: SeamlessDock = made
    return dock
