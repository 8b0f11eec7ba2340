"""Objects as GeoParquet 1.1: a row each, with its outline as WKB in the column "geometry"."""

# mypy: allow-untyped-calls

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import shapely

from napari_seamless.io.writers.object_rows import ObjectFile, ObjectRows
from napari_seamless.io.writers.output_file import put_in_place

GEOMETRY = "geometry"
TYPES = {3: "Polygon", 6: "MultiPolygon"}
"""By shapely's numbers of them."""


@contextmanager
def geoparquet_file(path: Path, file: ObjectFile, *, overwrite: bool = False) -> Iterator[Callable[[ObjectRows], None]]:
    """An `ObjectWriter`. Coordinates are level-0 pixels of the slide, x before y; there is no coordinate reference
    system. Provenance is in the file's metadata, under "napari-seamless"."""
    with put_in_place(path, overwrite=overwrite) as partial, ExitStack() as stack:
        writers: list[Any] = []
        types, bounds = set[str](), [np.full((1, 4), np.nan)]

        def write(rows: ObjectRows) -> None:
            arrays = {name: _array(column) for name, column in rows.columns.items()}
            table = pa.table(arrays | {GEOMETRY: pa.array(shapely.to_wkb(rows.outlines).tolist(), pa.binary())})
            if not writers:
                # with a copy of Arrow's schema, readers would look there for what is only known at the end
                opened = pq.ParquetWriter(partial, table.schema, compression="zstd", store_schema=False)
                writers.append(stack.enter_context(opened))
            writers[0].write_table(table)
            types.update(TYPES[number] for number in np.unique(shapely.get_type_id(rows.outlines)).tolist())
            bounds[0] = np.concatenate([bounds[0], shapely.bounds(rows.outlines)])
            least, most = np.fmin.reduce(bounds[0]), np.fmax.reduce(bounds[0])
            bounds[0] = np.concatenate([least[:2], most[2:]])[None]

        yield write
        facts = {"geo": _geo(types, bounds[0][0].tolist()), "napari-seamless": dict(file.provenance)}
        writers[0].add_key_value_metadata({key: json.dumps(value) for key, value in facts.items()})


def _geo(types: set[str], bounds: list[float]) -> dict[str, Any]:
    """What GeoParquet says of its geometry."""
    column: dict[str, Any] = {"encoding": "WKB", "geometry_types": sorted(types), "crs": None}
    column |= {"orientation": "counterclockwise", "edges": "planar"} | ({"bbox": bounds} if types else {})
    return {"version": "1.1.0", "primary_column": GEOMETRY, "columns": {GEOMETRY: column}}


def _array(column: np.ndarray[Any, Any]) -> Any:
    return pa.array(column.tolist(), pa.string()) if column.dtype == object else pa.array(column)
