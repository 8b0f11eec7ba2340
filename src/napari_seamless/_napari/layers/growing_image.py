"""An image whose coarser levels are made while it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from napari_seamless._napari.layers.pixels import SourceLevel
from napari_seamless.geometry import Region
from napari_seamless.interfaces import GrowingSource, ImageInfo, Pixels, Source


@dataclass(frozen=True)
class QuickSource:
    """A source that answers at once, with what there is."""

    source: Source
    growing: GrowingSource

    @property
    def info(self) -> ImageInfo:
        return self.source.info

    def read(self, region: Region, level: int = 0) -> Pixels:
        return self.growing.read_preview(region, level)

    def close(self) -> None:
        self.source.close()


def growing_levels(source: Source) -> list[Any]:
    """The levels of a source that makes its coarser ones itself, for a layer; they begin to grow. Else an empty list.

    Layers that have the source in their metadata are refreshed while it grows. Any thread.
    """
    if not isinstance(source, GrowingSource):
        return []
    info, quick = source.info, QuickSource(source, source)
    levels: list[Any] = [SourceLevel(quick, level) for level in range(len(info.levels) - 1)]
    overview = source.overview
    if info.rgb:
        overview = np.moveaxis(overview, 0, -1)
    elif info.channels == 1:
        overview = overview[0]
    source.grow(refresher(source))
    return [*levels, overview]


def refresher(source: Source) -> Callable[[], None]:
    """Shows a source's layers in the current viewer anew; to be called from any thread."""
    from qtpy.QtWidgets import QApplication
    from superqt.utils import ensure_main_thread

    @ensure_main_thread
    def show() -> None:
        import napari

        viewer = napari.current_viewer()
        for layer in viewer.layers if viewer is not None else ():
            if any(value is source for value in layer.metadata.values()):
                layer.refresh(highlight=False, extent=False)

    def refresh() -> None:
        if QApplication.instance() is not None:
            show()

    return refresh
