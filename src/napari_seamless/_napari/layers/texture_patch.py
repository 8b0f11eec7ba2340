"""Fresh pixels onto the screen without reading the whole view again.

A refresh makes napari read, map and upload all that is on screen, in the GUI thread: 20 to 60 ms, too much for every
finished tile. So the pixels of a piece go straight into the part of the texture that they cover (0.4 ms). That needs
names that napari keeps to itself (`_compat`); wherever one is missing, or things are not as expected, the answer is
"not patched" and a refresh, throttled by its own cost, does the same. Everything here runs in the GUI thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from napari_seamless._napari._compat import (
    SURPRISES,
    FeatureMissing,
    as_drawn,
    displayed_axes_of,
    shown_slice,
    update_thumbnail,
    write_texture,
)
from napari_seamless.geometry import Region
from napari_seamless.interfaces import Pixels

if TYPE_CHECKING:
    import napari
    from napari.layers import Image, Labels


class TexturePatch:
    """Writes pieces of the level that is on screen into a layer's slice and texture.

    `plane` are the layer's axes of rows and columns, counted from its last one.
    """

    def __init__(self, viewer: napari.Viewer, layer: Image | Labels, plane: Sequence[int] = (-2, -1)) -> None:
        self._viewer, self._layer, self._plane = viewer, layer, tuple(plane)

    def patch(self, level: int, region: Region, pixels: Pixels) -> bool:
        """Shows `pixels` ((y, x) or (y, x, 4), at `region` of `level`). False when only a refresh can.

        A piece of another level, or one that is not on screen, needs nothing done and counts as shown.
        """
        layer = self._layer
        if level != layer.data_level:
            return True
        try:
            if not self._shows_plane():
                return False
            shown = region_on_screen(layer, self._plane)
            part = shown.intersect(region)
            return part.is_empty or self._write(part, shown, pixels[part.slices(region.start)])
        except SURPRISES:
            return False

    def _shows_plane(self) -> bool:
        """Whether rows go down the screen, and columns to the right."""
        return displayed_axes_of(self._layer) == self._plane

    def _write(self, part: Region, shown: Region, pixels: Pixels) -> bool:
        layer = self._layer
        if not layer.loaded or not layer.visible:
            return False
        loaded = shown_slice(layer)
        if tuple(loaded.raw.shape[:2]) != shown.shape or not loaded.raw.flags.writeable:
            return False
        here = part.slices(shown.start)
        drawn = as_drawn(layer, pixels) if hasattr(layer, "selected_label") else pixels
        if not write_texture(self._viewer, layer, shown.shape, [s.start for s in here], drawn):
            return False
        loaded.raw[here] = pixels
        if loaded.view is not loaded.raw:
            loaded.view[here] = drawn
        return True


def region_on_screen(layer: Image | Labels, plane: Sequence[int] = (-2, -1)) -> Region:
    """The pixels of the shown level that napari has loaded (a little more than the canvas; all of a single level).

    Rows and columns are the axes `plane` of the layer, counted from its last one.
    """
    if not layer.multiscale:
        shape = layer.level_shapes[0][: layer.ndim]
        return Region.from_shape([int(shape[axis]) for axis in plane])
    (top, left), (bottom, right) = np.asarray(layer.corner_pixels)[:, list(plane)]
    return Region.of((int(top), int(bottom) + 1), (int(left), int(right) + 1))


class ThrottledRefresh:
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
            update_thumbnail(self._layer)
        except FeatureMissing:
            self.now()
        self._last, self._eventually = perf_counter(), False

    def now(self) -> None:
        before = perf_counter()
        self._layer.refresh(highlight=False, extent=False)
        self._last = perf_counter()
        self._cost = self._last - before
        self._soon = self._eventually = False
