"""From the camera to pixels: which region of a layer is on screen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from math import ceil, floor, inf
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer

from napari_seamless._napari.layers.axes import own_region
from napari_seamless._napari.layers.live_layers import axes_of
from napari_seamless.geometry import Interval, Region

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

    from napari_seamless._napari.layers.live_layers import ResultLayers

SETTLE_MS = 40


def visible_world(viewer: napari.Viewer) -> NDArray[np.float64] | None:
    """Corners ((top, left), (bottom, right)) of the canvas in world units; None in 3-D display."""
    if viewer.dims.ndisplay != 2:
        return None
    camera = viewer.scene.camera
    half = np.asarray(viewer.canvas.size, float) / (2 * camera.zoom)
    centre = np.asarray(camera.center[-2:], float)
    return np.stack([centre - half, centre + half])


def visible_region(viewer: napari.Viewer, layer: Image | Labels) -> Region | None:
    """The level-0 pixels of a layer that are on screen, one interval for each axis of the layer.

    An axis that is not displayed gives the one plane that is shown. The bounding box is taken where the layer is
    rotated or sheared. None where nothing of the layer is on screen. GUI thread.
    """
    world = visible_world(viewer)
    if world is None:
        return None
    down, right = list(viewer.dims.displayed)[-2:]
    corners = []
    for y, x in product(world[:, 0], world[:, 1]):
        point = np.asarray(viewer.dims.point, float).copy()
        point[down], point[right] = y, x
        corners.append(layer.world_to_data(point))
    points = np.asarray(corners)
    shape = layer.level_shapes[0][: layer.ndim]
    bounds = zip(points.min(0), points.max(0), shape, strict=True)
    region = Region(tuple(_pixels(lo, hi, int(n)) for lo, hi, n in bounds))
    return None if region.is_empty else region


def result_on_screen(viewer: napari.Viewer, shown: ResultLayers) -> Region | None:
    """The pixels of a result that are on screen; None where none are, or another plane of the stack is."""
    layer = shown.layers[0]
    region = visible_region(viewer, layer)
    return None if region is None else own_region(region, axes_of(layer, shown.image.info.ndim))


def displayed_axes(viewer: napari.Viewer) -> tuple[int, int]:
    """The axes of the world that go down and to the right on the canvas, counted from its last one."""
    down, right = list(viewer.dims.displayed)[-2:]
    return down - viewer.dims.ndim, right - viewer.dims.ndim


def on_canvas(
    layer: Image | Labels, plane: Sequence[int], y: float, x: float, displayed: Sequence[int] = (-2, -1)
) -> NDArray[np.float64]:
    """Where a pixel is on the canvas, (down, right) in the world.

    Rows and columns are the axes `plane` of the layer, `displayed` those of the world; both counted from the last one.
    """
    point = np.zeros(layer.ndim)
    point[list(plane)] = y, x
    world: NDArray[np.float64] = np.asarray(layer.data_to_world(tuple(point)))[list(displayed)]
    return world


def output_region(view: Region, scale: Sequence[float], offset: Sequence[float], shape: Sequence[int]) -> Region | None:
    """The output pixels over a region of the input, where output pixel o lies at input pixel `o * scale + offset`.

    `view` may have leading axes (channels) that the output has not. Cut to the output's `shape`; None where empty.
    """
    spatial = view.intervals[-len(shape) :]
    pairs = zip(spatial, scale, offset, shape, strict=True)
    region = Region(tuple(_clipped(floor((i.lo - b) / s), ceil((i.hi - b) / s), n) for i, s, b, n in pairs))
    return None if region.is_empty else region


def _pixels(lo: float, hi: float, size: int) -> Interval:
    """Pixels that the stretch [lo, hi] touches; pixel i covers [i - 0.5, i + 0.5)."""
    first = floor(lo + 0.5)
    return _clipped(first, max(ceil(hi + 0.5), first + 1), size)


def _clipped(lo: int, hi: int, size: int) -> Interval:
    start = min(max(lo, 0), size)
    return Interval(start, max(start, min(hi, size)))


class ViewWatch:
    """Calls back when the view has moved: at once, and at most once every `SETTLE_MS` milliseconds. GUI thread.

    "At once" is when the present event is dealt with, since one turn of the wheel changes zoom and centre in turn.
    """

    def __init__(self, viewer: napari.Viewer, callback: Callable[[], None], parent: QObject) -> None:
        self._timer = QTimer(parent)
        self._timer.setSingleShot(True)
        self._timer.timeout.connect(self._settled)
        self._callback = callback
        self._called = -inf
        camera, dims = viewer.scene.camera.events, viewer.dims.events
        self._emitters = [
            camera.center,
            camera.zoom,
            dims.ndisplay,
            dims.order,
            dims.current_step,
            viewer.canvas.events.size,
        ]
        self._open = True
        for emitter in self._emitters:
            emitter.connect(self._moved)

    def close(self) -> None:
        """Stops listening. May be called twice, and after the timer's parent is gone."""
        if self._open:
            self._open = False
            for emitter in self._emitters:
                emitter.disconnect(self._moved)

    def _moved(self, _event: object = None) -> None:
        if self._open and not self._timer.isActive():
            rested = (perf_counter() - self._called) * 1000
            self._timer.start(max(0, SETTLE_MS - int(min(rested, SETTLE_MS))))

    def _settled(self) -> None:
        self._called = perf_counter()
        self._callback()
