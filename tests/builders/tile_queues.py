"""Tiles of a small plane that are to be done."""

from __future__ import annotations

import numpy as np

from napari_seamless.geometry import Grid, Region
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning.order import view_first

SHAPE = (90, 130)
CHUNKS = Grid(SHAPE, (10, 10))


def never() -> bool:
    return False


def todo(tile: int = 20) -> ViewFirstQueue:
    return ViewFirstQueue(CHUNKS, Region.from_shape(SHAPE), np.zeros(CHUNKS.counts, bool), view_first, tile)
