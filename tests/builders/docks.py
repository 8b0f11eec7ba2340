"""The dock in a window, and what it must not leave behind."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import napari

    from napari_seamless._napari.run.dock import SeamlessDock


def ours() -> list[str]:
    """Threads of this package that still run."""
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("seamless")]


def docked(viewer: napari.Viewer, pipeline: Any) -> SeamlessDock:
    from napari_seamless._napari.run.dock import SeamlessDock

    dock = SeamlessDock(viewer, pipeline)
    viewer.window.add_dock_widget(dock, name="napari-seamless")
    return dock
