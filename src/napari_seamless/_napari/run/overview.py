"""Where a run is: a map in the panel, and outlines on the canvas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from napari_seamless._napari.layers.live_layers import ResultLayers, axes_of
from napari_seamless._napari.layers.tile_outlines import TileOutlines
from napari_seamless._napari.layers.view import displayed_axes, on_canvas, result_on_screen
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets.coverage import Coverage
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LiveImage

if TYPE_CHECKING:
    import napari


MOST_CELLS = 256


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


def coverage_of(
    image: LiveImage, in_work: Sequence[Region] = (), view: Region | None = None, failed: Sequence[Region] = ()
) -> Coverage:
    """The state of a live result. Cheap: at most 256 x 256 cells, however many chunks there are."""
    done = np.asarray(image.finished)
    plane = done.reshape(-1, *done.shape[-2:]).mean(axis=0) if done.ndim > 2 else done.astype(np.float32)
    for axis in range(2):
        step = -(-plane.shape[axis] // MOST_CELLS)
        if step > 1:
            starts = np.arange(0, plane.shape[axis], step)
            size = np.diff(np.append(starts, plane.shape[axis]))
            plane = np.add.reduceat(plane, starts, axis=axis) / (size[:, None] if axis == 0 else size)
    height, width = image.grid.shape[-2:]
    return Coverage((height, width), (plane * 255).astype(np.uint8), tuple(in_work), view, tuple(failed))
