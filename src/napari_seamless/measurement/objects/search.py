"""The first pass: the objects of a label image, wherever they are kept, and how their labels are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.measurement.label_counts import read_tile, tile_shape_over
from napari_seamless.measurement.label_image import LabelImage
from napari_seamless.measurement.objects.found import check_stopped, find_objects
from napari_seamless.measurement.objects.rows import ObjectSource
from napari_seamless.measurement.roi import RoiMargins, mask_of
from napari_seamless.postprocess.components import Components
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.postprocess.painted_labels import PaintedLabels
from napari_seamless.postprocess.step import Domain


def search(
    labels: LabelImage,
    components: Components | None,
    around: RoiMargins | None,
    on_progress: Callable[[int, int], None] | None,
    cancelled: Callable[[], bool] | None,
) -> ObjectSource:
    """All objects, as far as `around` says: of labels that are objects (`components` None) those that have pixels,
    else connected components, painted where they are read. Raises RunCancelled, and what reading raises."""
    region = Region.from_shape(labels.shape) if around is None else around.region
    grid, done = Grid(region.shape, tile_shape_over(region.shape, labels.chunk)), 0

    def tiles() -> Iterator[Region]:
        nonlocal done
        for cell in cells_of(Region.from_shape(grid.counts)):
            check_stopped(cancelled)
            write = grid.region(cell).shift(region.start)
            yield write
            done += write.size
            if on_progress is not None:
                on_progress(done, region.size)

    def read(at: Region) -> NDArray[Any]:
        return np.asarray(labels.source.read(at)[0])

    if components is None:
        return ObjectSource(labels, read, find_objects(read, tiles(), labels.objects, is_whole=labels.finished is None))
    domain, mask = Domain(labels.shape, region), mask_of(labels, around)
    painted = PaintedLabels(
        components, domain, tiles(), lambda at: read_tile(read, domain, at, components.halo, mask, None)
    )
    return ObjectSource(labels, painted.read, _own(painted.objects))


def _own(table: ObjectTable) -> ObjectTable:
    """The table of components without what only their step has a use for."""
    return replace(table, extra={"at_edge": table.extra["at_edge"]})
