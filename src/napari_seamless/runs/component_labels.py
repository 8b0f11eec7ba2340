"""Class maps that keep objects apart by a boundary class, as labels of whole objects."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.interfaces import LabelClass, Source
from napari_seamless.io.writers.geojson import NumberedLabels
from napari_seamless.postprocess.components import Components
from napari_seamless.postprocess.painted_labels import PaintedLabels
from napari_seamless.postprocess.step import Domain, TileOutput

BOUNDARY = "boundary"
"""The name of a class that separates objects and belongs to them."""
TILE = (256, 4096)
"""Wide, as outlines are found in bands of rows: those of a band stay painted."""


def boundary_label(classes: Sequence[LabelClass]) -> int | None:
    """The class that is called so; None where none is, or it is the background."""
    return next((c.value for c in classes if c.name.lower() == BOUNDARY and c.value), None)


def numbered_objects(source: Source, classes: Sequence[LabelClass]) -> Callable[[Region], NumberedLabels] | None:
    """What numbers the objects of a class map (y, x) in a region; None for one without a boundary, whose connected
    parts are its objects. Objects that the region cuts are cut."""
    boundary = boundary_label(classes)
    if boundary is None:
        return None
    step, shape = Components(boundary=boundary), source.info.levels.shape(0)

    def numbered(region: Region) -> NumberedLabels:
        # what is around decides to whom boundary pixels at the region's edge belong
        domain = Domain(shape, region.grow([step.halo] * region.ndim).intersect(Region.from_shape(shape)))
        grid = Grid(domain.region.shape, TILE)
        writes = [grid.region(cell).shift(domain.region.start) for cell in cells_of(Region.from_shape(grid.counts))]

        def given(write: Region) -> TileOutput:
            tile = domain.tile(write, step.halo)
            return TileOutput(domain, tile, np.asarray(source.read(tile.read)))

        painted = PaintedLabels(step, domain, writes, given)
        ids = painted.objects.id.tolist()
        whole = ((painted.objects.low >= region.start) & (painted.objects.high <= region.stop)).all(axis=1)
        sizes = np.where(whole, painted.objects.area, 0).tolist()
        return NumberedLabels(
            painted.read,
            dict(zip(ids, painted.objects.label.tolist(), strict=True)),
            dict(zip(ids, sizes, strict=True)),
        )

    return numbered
