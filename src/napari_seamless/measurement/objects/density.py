"""How many objects there are on a square millimetre, in the cells of a coarse grid: an image of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest, SetPixelSize
from napari_seamless.geometry import Region, cells_of
from napari_seamless.io.slide_position import TO_SLIDE
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.runs.export import export
from napari_seamless.store import StoreSpec, create_store

CELL = 250.0
"""Micrometres along the side of a cell."""
MICROMETRES = 1e6
"""Square ones in a square millimetre."""


@dataclass(frozen=True, eq=False)
class DensityMap:
    """Objects on a square millimetre, `pixels` (y, x; float32), by the place of their centroids.

    A cell is `cell` (y, x) pixels of the labels large, which need not be whole numbers; the first begins at the edge of
    the first pixel. Of cells that the image's edge cuts, only what lies in the image counts as area. `pixel_size` is
    that of a cell, in micrometres; cell c has its centre at c * scale + offset of the slide's level-0 pixels.
    """

    name: str
    pixels: NDArray[np.float32]
    cell: tuple[float, float]
    pixel_size: tuple[float, float]
    origin: tuple[float, float]
    scale: tuple[float, float]
    offset: tuple[float, float]

    def save(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """As .ome.tif or .ome.zarr, in its place on the slide; returns the path.

        Raises BadRequest, OutputExists, OutputUnwritable.
        """
        spec = StoreSpec(
            self.pixels.shape,
            None,
            self.pixels.dtype,
            "image",
            source_identity="",
            program_hash="",
            name=f"{self.name} objects per mm2",
            pixel_size=self.pixel_size,
            translation=self.origin,
            provenance={TO_SLIDE: {"scale": list(self.scale), "offset": list(self.offset)}},
        )
        store = create_store(None, spec)
        for cell in cells_of(Region.from_shape(store.grid.counts)):
            region = store.grid.region(cell)
            store.write(region, self.pixels[region.slices()][None])
            store.commit(region)
        return export(store, path, overwrite=overwrite)


def density_map(labels: LabelImage, centroid: NDArray[np.float64], cell: float = CELL) -> DensityMap:
    """Of objects with these centroids (n, 2), in cells of so many micrometres.

    Raises BadRequest for a cell smaller than a pixel, and where the size of a pixel is not known.
    """
    if labels.pixel_size is None:
        raise BadRequest(
            f"objects on a square millimetre are told where the size of a pixel is known; it is not; {SetPixelSize()}"
        )
    height, width = labels.shape
    sides = np.array([cell / size for size in labels.pixel_size])
    if not np.isfinite(sides).all() or (sides < 1).any():
        raise BadRequest(f"a cell of a density map is at least a pixel wide; got {cell:g} micrometres; use larger ones")
    edges = [np.minimum(np.arange(int(np.ceil(n / s)) + 1) * s, n) for n, s in zip((height, width), sides, strict=True)]
    counts, _ = np.histogramdd(centroid + 0.5, bins=edges)
    area = np.outer(*(np.diff(edge) for edge in edges)) * (labels.pixel_size[0] * labels.pixel_size[1] / MICROMETRES)
    middle = (sides - 1) / 2
    scale, offset, origin = (np.array(numbers) for numbers in (labels.scale, labels.offset, labels.origin))
    return DensityMap(
        labels.name,
        (counts / area).astype(np.float32),
        cell=_pair(sides),
        pixel_size=_pair(sides * labels.pixel_size),
        origin=_pair(origin + middle * labels.pixel_size),
        scale=_pair(sides * scale),
        offset=_pair(middle * scale + offset),
    )


def _pair(numbers: NDArray[np.float64]) -> tuple[float, float]:
    y, x = numbers.tolist()
    return y, x
