"""Which cells of a tile could be objects: pure, in any thread or process."""

from __future__ import annotations

import numpy as np

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Interval, Region
from napari_seamless.postprocess.polygons.settings import PolygonSettings
from napari_seamless.postprocess.polygons.stars import Stars
from napari_seamless.postprocess.step import TileOutput, cells_in

SHORTEST = 1e-3
"""Of a ray, in pixels: the centre is always inside."""


def stars_of(given: TileOutput, settings: PolygonSettings) -> Stars:
    """The candidates of a tile, in raster order. Raises BadRequest for an output that is not of this kind."""
    pixels, grid = given.pixels, settings.grid
    if len(pixels) != settings.channels:
        raise BadRequest(
            f"polygons of {settings.rays} rays and {settings.classes} classes are {settings.channels} channels of "
            f"output; got {len(pixels)}; set rays and classes to those of the network"
        )
    cells, read = _inner_cells(given, settings), cells_in(given.tile.read, grid)
    output = pixels[(slice(None), *cells.slices(read.start))]
    likely = output[0].astype(np.float32, copy=False)
    found = likely > settings.probability
    if given.mask is not None:
        corner = given.tile.read.start
        y, x = (np.arange(i.lo, i.hi) * grid - at for i, at in zip(cells.intervals, corner, strict=True))
        found &= given.mask[np.ix_(y, x)]
    y, x = np.nonzero(found)
    values = output[:, y, x].astype(np.float32)
    if not np.isfinite(values).all() or np.isnan(likely).any():
        raise BadRequest("a network for polygons gives numbers; got NaN or infinity; check its weights and its input")
    rays, largest = values[1 : 1 + settings.rays], np.float32(settings.largest_radius)
    across = -(-given.domain.shape[1] // grid)
    label = np.ones(len(y), np.int64)
    if settings.classes:
        label += values[1 + settings.rays :].argmax(axis=0)
    return Stars(
        id=(y + cells.start[0]) * across + x + cells.start[1] + 1,
        center=(np.stack([y, x], 1) + cells.start) * grid,
        score=values[0],
        distance=np.ascontiguousarray(rays.clip(SHORTEST, largest).T),
        label=label,
        clipped=np.asarray((rays > largest).any(axis=0)),
    )


def _inner_cells(given: TileOutput, settings: PolygonSettings) -> Region:
    """The cells of a tile that are not on the image's border; empty at the tile's first cell where there are none."""
    border, grid = settings.border, settings.grid
    whole = cells_in(Region.from_shape(given.domain.shape), grid)
    inner = Region(tuple(Interval(border, max(border, i.hi - border)) for i in whole.intervals))
    cells = cells_in(given.tile.write, grid)
    return cells.intersect(inner)
