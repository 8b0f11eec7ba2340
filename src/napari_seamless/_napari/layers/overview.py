"""Where a run is: a map in the panel, and outlines on the canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seamless._napari.layers.live_layers import ResultLayers, axes_of
from napari_seamless._napari.layers.tile_outlines import TileOutlines
from napari_seamless._napari.layers.view import displayed_axes, on_canvas, result_on_screen
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets.coverage import coverage_of

if TYPE_CHECKING:
    import napari


class Overview:
    """`show` is called now and then with the present snapshot and layers. GUI thread."""

    def __init__(self, viewer: napari.Viewer, panel: Panel) -> None:
        self._viewer, self._panel = viewer, panel
        self._outlines = TileOutlines(viewer)
        self._shown: ResultLayers | None = None

    def show(self, now: Snapshot, shown: ResultLayers | None) -> None:
        """Draws what has changed. Cheap where nothing has."""
        self._shown = shown
        if shown is None or now.progress is None:
            self._panel.showCoverage(None)
            self._outlines.close()
            return
        working, view = now.in_work if now.phase == "running" else (), result_on_screen(self._viewer, shown)
        self._panel.showCoverage(coverage_of(shown.image, working, view, now.failed))
        self._outlines.show(shown.layers[0], working if view is not None else ())

    def go_to(self, y: float, x: float) -> None:
        """Moves the view to a place of the result."""
        if self._shown is not None and self._viewer.dims.ndisplay == 2:
            layer, camera = self._shown.layers[0], self._viewer.scene.camera
            plane = axes_of(layer, self._shown.image.info.ndim)[-2:]
            camera.center = (*camera.center[:-2], *on_canvas(layer, plane, y, x, displayed_axes(self._viewer)))

    def close(self) -> None:
        """Takes the outlines off the canvas. May be called twice."""
        self._outlines.close()
