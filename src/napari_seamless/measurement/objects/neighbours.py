"""How far it is from each object to the nearest other one."""

# mypy: allow-untyped-calls

from __future__ import annotations

from math import isclose
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from napari_seamless.postprocess.object_table import Ints


class Neighbours:
    """Distances between `centroids` (n, 2) of all objects that are told. One thread.

    Where pixels are not as high as wide, the nearest in micrometres may be another one than that in pixels.
    """

    def __init__(self, centroids: NDArray[np.float64], pixel_size: tuple[float, ...] | None) -> None:
        self._tree = cKDTree(centroids)
        self._factor = None if pixel_size is None else pixel_size[1]
        self._real = None
        if pixel_size is not None and not isclose(pixel_size[0], pixel_size[1], rel_tol=1e-6):
            self._real = cKDTree(centroids * np.array(pixel_size))

    def columns(self, numbers: Ints) -> dict[str, NDArray[Any]]:
        """`neighbour_distance` of these objects, in pixels, and in micrometres where they are known; NaN where there is
        no other."""
        pixels = _nearest(self._tree, numbers)
        columns = {"neighbour_distance": pixels}
        if self._real is not None:
            columns["neighbour_distance_um"] = _nearest(self._real, numbers)
        elif self._factor is not None:
            columns["neighbour_distance_um"] = pixels * self._factor
        return columns


def _nearest(tree: Any, numbers: Ints) -> NDArray[np.float64]:
    if not len(numbers):
        return np.zeros(0)
    distances, _ = tree.query(tree.data[numbers], k=2)
    return np.where(np.isfinite(distances[:, 1]), distances[:, 1], np.nan)
