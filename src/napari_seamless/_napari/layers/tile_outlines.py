"""A thin line around the tiles that are being made, on the canvas.

It hangs in the scene beside the layers, not in the list of layers: nothing to select, to save or to be in the way.
That needs names that napari keeps to itself (`_compat`); where one is missing there is no outline. GUI thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.compat import isalive

from napari_seamless._napari._compat import SURPRISES, scene_of
from napari_seamless._napari.layers.live_layers import axes_of
from napari_seamless._napari.layers.view import displayed_axes, on_canvas
from napari_seamless.geometry import Region

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

COLOUR = (1.0, 0.76, 0.2, 0.9)
ON_TOP = 1_000_000
CORNERS = ((0, 0), (0, 1), (0, 1), (1, 1), (1, 1), (1, 0), (1, 0), (0, 0))
"""Of a rectangle's sides, as pairs of ends."""


class TileOutlines:
    """The outlines of one viewer."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = viewer
        self._shown: tuple[Region, ...] = ()
        self._line: Any = None
        self._canvas: Any = None

    def show(self, layer: Image | Labels, regions: Sequence[Region]) -> None:
        """Draws around these level-0 pixels of a layer, and around nothing else."""
        wanted = tuple(regions) if self._viewer.dims.ndisplay == 2 else ()
        if wanted == self._shown:
            return
        self._shown = wanted
        try:
            self._draw(segments(layer, wanted, displayed_axes(self._viewer)) if wanted else None)
        except SURPRISES:
            self._line = None

    def close(self) -> None:
        """Takes them off the canvas. May be called twice, and when the canvas is gone."""
        line, self._line, self._shown = self._line, None, ()
        # a window that closes has deleted its canvas already
        if line is not None and isalive(self._canvas):  # type: ignore[no-untyped-call]
            line.parent = None

    def _draw(self, points: NDArray[np.float32] | None) -> None:
        if self._line is None:
            if points is None:
                return
            from vispy.scene.visuals import Line

            self._line = Line(connect="segments", color=COLOUR, width=1, method="gl")
            self._line.set_gl_state("translucent", depth_test=False)
            self._line.order = ON_TOP
            self._line.parent, self._canvas = scene_of(self._viewer)
        self._line.visible = points is not None
        if points is not None:
            self._line.set_data(pos=points, color=COLOUR, connect="segments")


def segments(
    layer: Image | Labels, regions: Sequence[Region], displayed: Sequence[int] = (-2, -1)
) -> NDArray[np.float32]:
    """The sides of level-0 regions as pairs of points (x, y) in the world, of shape (8 * regions, 2).

    `displayed` are the axes of the world that go down and to the right, counted from its last one.
    """
    points = []
    for region in regions:
        plane, (rows, columns) = axes_of(layer, region.ndim)[-2:], region.intervals[-2:]
        for down, right in CORNERS:
            y, x = (rows.lo, rows.hi)[down] - 0.5, (columns.lo, columns.hi)[right] - 0.5
            points.append(on_canvas(layer, plane, y, x, displayed)[::-1])
    return np.asarray(points, np.float32)
