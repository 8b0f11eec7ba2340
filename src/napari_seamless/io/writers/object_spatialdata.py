"""Objects as SpatialData: outlines as shapes, and a table of what was measured of them."""

# mypy: allow-untyped-calls

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from napari_seamless.durable_files import beside
from napari_seamless.errors import OutputExists
from napari_seamless.file_lock import PlaceLock
from napari_seamless.io.writers.object_anndata import annotated_table
from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows

SHAPES, TABLE = "objects", "measurements"


@contextmanager
def spatialdata_folder(
    path: Path, file: ObjectFile, *, overwrite: bool = False
) -> Iterator[Callable[[ObjectRows], None]]:
    """An `ObjectWriter` of .zarr folders: shapes "objects" in the coordinate systems "global" (level-0 pixels of the
    slide) and, where their size is known, "micrometers", and the table "measurements" of them.

    The format is written at once: rows are kept until the end. A folder that is there is never replaced.
    """
    if path.is_dir() or (path.exists() and not overwrite):
        # a result or an image is a folder of this kind, too
        raise OutputExists(f"an export needs a free path; {path} exists; choose another path")
    path.parent.mkdir(parents=True, exist_ok=True)
    with PlaceLock(path).held(OutputExists):
        kept: list[ObjectRows] = []
        yield kept.append
        partial = beside(path, "new")
        shutil.rmtree(partial, ignore_errors=True)  # what a kill left
        try:
            _spatial_data(kept, file).write(partial)
            path.unlink(missing_ok=True)
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _spatial_data(kept: list[ObjectRows], file: ObjectFile) -> Any:
    import geopandas
    from spatialdata import SpatialData
    from spatialdata.models import ShapesModel, TableModel
    from spatialdata.transformations import Identity, Scale

    places: dict[str, Any] = {"global": Identity()}
    if file.pixel_size is not None:
        places["micrometers"] = Scale(list(file.pixel_size[::-1]), axes=("x", "y"))
    table = annotated_table(kept, file, SHAPES)
    outlines = np.concatenate([rows.outlines for rows in kept if rows.outlines is not None])
    frame = geopandas.GeoDataFrame({"geometry": outlines}, index=table.obs["id"].to_numpy())
    shapes = ShapesModel.parse(frame, transformations=places)
    parsed = TableModel.parse(table, region=SHAPES, region_key="region", instance_key="id")
    return SpatialData(shapes={SHAPES: shapes}, tables={TABLE: parsed})
