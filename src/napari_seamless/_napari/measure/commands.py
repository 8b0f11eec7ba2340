"""What napari's menus offer of measuring."""

from __future__ import annotations

import napari

from napari_seamless._napari.measure.dock import MeasureDock

PLUGIN, WIDGET = "napari-seamless", "Measure a result"


def open_measuring(viewer: napari.viewer.Viewer) -> None:
    """Shows the dock that measures, unless it is there."""
    if not any(isinstance(widget, MeasureDock) for widget in viewer.window.dock_widgets.values()):
        viewer.window.add_plugin_dock_widget(PLUGIN, WIDGET)
