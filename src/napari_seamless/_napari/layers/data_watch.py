"""Notices that the pixels of an image layer are exchanged for others, or get another size."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari.layers import Image


class DataWatch:
    """One layer at a time; `exchanged` is called with it, `scaled` when its scale or unit is another. GUI thread."""

    def __init__(self, exchanged: Callable[[Image], None], scaled: Callable[[], None]) -> None:
        self._exchanged, self._scaled = exchanged, scaled
        self._layer: Image | None = None

    def follow(self, layer: Image | None) -> None:
        """Watches this layer from now on, and no other."""
        if layer is self._layer:
            return
        self.close()
        self._layer = layer
        if layer is not None:
            layer.events.data.connect(self._changed)
            for emitter in (layer.events.scale, layer.events.units):
                emitter.connect(self._resized)

    def close(self) -> None:
        """Watches none. May be called twice."""
        if self._layer is not None:
            self._layer.events.data.disconnect(self._changed)
            for emitter in (self._layer.events.scale, self._layer.events.units):
                emitter.disconnect(self._resized)
            self._layer = None

    def _changed(self, _event: object = None) -> None:
        if self._layer is not None:
            self._exchanged(self._layer)

    def _resized(self, _event: object = None) -> None:
        self._scaled()
