"""Label images that look like a segmentation of cells, and results made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_seamless.geometry import Region, cells_of
from napari_seamless.interfaces import LabelClass
from napari_seamless.store import Store, StoreSpec, create_store

CLASSES = (
    LabelClass(0, "background", "#000000"),
    LabelClass(1, "nucleus", "#1fd160"),
    LabelClass(2, "boundary", "#ffe119"),
)
SHAPE = (200, 300)


def cells(shape: tuple[int, ...] = SHAPE) -> NDArray[np.uint8]:
    """Blobs of class 1, each with a rim of class 2 one pixel wide."""
    noise = ndimage.gaussian_filter(np.random.default_rng(5).random(shape), 4)
    core = noise > np.quantile(noise, 0.8)
    rim = ndimage.binary_dilation(core) & ~core
    return (core + 2 * rim).astype(np.uint8)


def store_of(labels: NDArray[Any], path: Path | None = None, cells_done: int | None = None, **more: Any) -> Store:
    facts = {"pixel_size": (0.5,) * labels.ndim, "classes": CLASSES, "chunk": 64, "name": "nuclei", **more}
    spec = StoreSpec(labels.shape, None, labels.dtype, "labels", "s", "p", **facts)
    with create_store(path, spec) as store:
        for cell in list(cells_of(Region.from_shape(spec.grid.counts)))[:cells_done]:
            region = spec.grid.region(cell)
            store.write(region, labels[region.slices()][None])
            store.commit(region)
    return store
