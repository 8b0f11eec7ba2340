"""Fresh pixels onto the screen without reading the whole view again.

A refresh makes napari read, map and upload all that is on screen, in the GUI thread: 20 to 60 ms, too much for every
finished tile. So the pixels of a piece go straight into the part of the texture that they cover (0.4 ms). That needs
names that napari keeps to itself; wherever one is missing, or things are not as expected, the answer is "not patched"
and a refresh, throttled by its own cost, does the same. Everything here runs in the GUI thread.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Region
from napari_seamless.seams import Pixels

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels

# What can go wrong where private names are used: they are gone, or mean something else.
SURPRISES = (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError)


class LivePatcher:
    """Writes pieces of the level that is on screen into a layer's slice and texture."""

    def __init__(self, viewer: napari.Viewer, layer: Image | Labels) -> None:
        self._viewer, self._layer = viewer, layer

    def patch(self, level: int, region: Region, pixels: Pixels) -> bool:
        """Shows `pixels` ((y, x) or (y, x, 4), at `region` of `level`). False when only a refresh can.

        A piece of another level, or one that is not on screen, needs nothing done and counts as shown.
        """
        layer = self._layer
        if level != layer.data_level:
            return True
        shown = region_on_screen(layer)
        part = shown.intersect(region)
        if part.is_empty:
            return True
        try:
            return self._write(part, shown, pixels[part.slices(region.start)])
        except SURPRISES:
            return False

    def _write(self, part: Region, shown: Region, pixels: Pixels) -> bool:
        layer: Any = self._layer
        if not layer.loaded or not layer.visible or layer._slice_input.ndisplay != 2:
            return False
        view = layer._slice.image
        if tuple(view.raw.shape[:2]) != shown.shape or not view.raw.flags.writeable:
            return False
        node: Any = self._viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
        texture = node._texture
        upload_is_due = bool(node._need_texture_upload)
        if not upload_is_due and tuple(texture.shape[:2]) != shown.shape:
            return False
        here = part.slices(shown.start)
        view.raw[here] = pixels
        mapped = self._mapped(pixels)
        if view.view is not view.raw:
            view.view[here] = mapped
        if not upload_is_due:
            offset = tuple(s.start for s in here)
            texture.scale_and_set_data(np.ascontiguousarray(mapped), offset=offset, copy=True)
        node.update()
        return True

    def _mapped(self, pixels: Pixels) -> NDArray[Any]:
        layer: Any = self._layer
        mapped: NDArray[Any] = layer._raw_to_displayed(pixels) if hasattr(layer, "selected_label") else pixels
        return mapped


def region_on_screen(layer: Image | Labels) -> Region:
    """The pixels of the shown level that napari has loaded (a little more than the canvas; all of a single level)."""
    if not layer.multiscale:
        return Region.from_shape([int(n) for n in layer.level_shapes[0][:2]])
    (top, left), (bottom, right) = np.asarray(layer.corner_pixels)[:, -2:]
    return Region.of((int(top), int(bottom) + 1), (int(left), int(right) + 1))


class Refresher:
    """Refreshes a layer, but never so often that the window suffers.

    `soon` asks for a refresh because something on screen is wrong; `eventually` asks for a new thumbnail only (or for
    a refresh, should napari no longer make one alone). `tick` is called by a timer and does it when it is time; `now`
    refreshes at once.
    """

    SOON = 0.1
    EVENTUALLY = 2.0
    REST = 5.0

    def __init__(self, layer: Image | Labels) -> None:
        self._layer = layer
        self._last, self._cost = perf_counter(), 0.0
        self._soon = self._eventually = False

    def soon(self) -> None:
        self._soon = True

    def eventually(self) -> None:
        self._eventually = True

    def tick(self) -> None:
        rested = perf_counter() - self._last
        is_due = self._soon and rested > max(self.SOON, self.REST * self._cost)
        if is_due:
            self.now()
        elif self._eventually and rested > max(self.EVENTUALLY, 10 * self.REST * self._cost):
            self._thumbnail()

    def _thumbnail(self) -> None:
        try:
            self._layer._update_thumbnail()
        except SURPRISES:
            self.now()
        self._last, self._eventually = perf_counter(), False

    def now(self) -> None:
        before = perf_counter()
        self._layer.refresh(highlight=False, extent=False)
        self._last = perf_counter()
        self._cost = self._last - before
        self._soon = self._eventually = False
