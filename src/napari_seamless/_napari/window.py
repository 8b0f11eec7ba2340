"""A napari window that opens a slide and runs a model on it at once, for the command line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import sleep

import napari
from napari.qt import get_qapp

from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.run.network_cache import LoadRequest
from napari_seamless._napari.run.state import Snapshot
from napari_seamless.runs.config import RunConfig

NAME = "napari-seamless"


def show(slide: str | Path, network: LoadRequest, config: RunConfig, screenshot: Path | None = None) -> None:
    """Do in the dock what a user would: open, choose, set all options, run. Blocks until the window is closed.

    With a `screenshot`, the window closes by itself: its picture is written there when the run has ended. Raises what
    opening the slide and (with a screenshot) the run raise, and what `show_config` raises.
    """
    viewer = napari.Viewer(title=f"{NAME}: {Path(slide).name}")
    try:
        _run_in(viewer, slide, network, config, screenshot)
    except BaseException:
        viewer.close()  # a window that is left to the end of Python takes Python down with it
        get_qapp().processEvents()
        raise


def _run_in(
    viewer: napari.Viewer, slide: str | Path, network: LoadRequest, config: RunConfig, screenshot: Path | None
) -> None:
    viewer.window.resize(1600, 1000)
    _, dock = viewer.window.add_plugin_dock_widget(NAME)
    if network.architecture:
        dock.load_model(network.what, network.architecture, network.arguments)
    else:
        dock.choose_model(network.what)
    _pump(dock, lambda _now: dock.panel.model.value().name != network.key)
    dock.open(slide, config.image)
    _pump(dock, lambda now: now.phase == "empty")
    dock.show_config(config)
    dock.run()
    if screenshot is None:
        napari.run()
        return
    _pump(dock, lambda now: now.queued or now.is_active)
    for _ in range(2):  # what the end of the run says may need more room: of its section, and then of the column
        get_qapp().processEvents()
    viewer.screenshot(str(screenshot), canvas_only=False, flash=False)
    viewer.close()


def _pump(dock: SeamlessDock, waiting: Callable[[Snapshot], bool]) -> None:
    """Keep the window alive while `waiting`. Raises what the dock has to complain of."""
    while waiting(now := dock.poll()) and now.problem is None:
        get_qapp().processEvents()
        sleep(0.02)
    if now.problem is not None:
        raise now.problem.error
