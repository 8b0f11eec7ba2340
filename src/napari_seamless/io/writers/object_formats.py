"""The files that objects are saved as. One line each; nothing heavy is loaded.

A new format is a module `x` of this folder with a function, an `ObjectWriter`, and a line in `OBJECT_FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import cast

from napari_seamless.errors import BadRequest
from napari_seamless.io.writers.object_rows import ObjectWriter


@dataclass(frozen=True)
class ObjectFormat:
    """A format, who writes it, whether rows must have outlines, and what it needs: packages, all in one extra."""

    title: str
    suffix: str
    module: str
    writer: str
    has_outlines: bool
    packages: tuple[str, ...] = ()
    extra: str = ""

    @property
    def open(self) -> ObjectWriter:
        """Who writes it."""
        module = import_module(f"napari_seamless.io.writers.{self.module}")
        return cast(ObjectWriter, getattr(module, self.writer))


OBJECT_FORMATS = (
    ObjectFormat("CSV", ".csv", "object_csv", "csv_file", False),
    ObjectFormat("GeoJSON for QuPath", ".geojson", "object_geojson", "geojson_file", True),
    ObjectFormat("GeoParquet", ".parquet", "object_geoparquet", "geoparquet_file", True, ("pyarrow",), "parquet"),
    ObjectFormat("AnnData", ".h5ad", "object_anndata", "anndata_file", False, ("anndata",), "spatialdata"),
    ObjectFormat(
        *("SpatialData", ".zarr", "object_spatialdata", "spatialdata_folder", True),
        packages=("spatialdata", "anndata"),
        extra="spatialdata",
    ),
)


def object_format(path: Path) -> ObjectFormat:
    """The format that a file's name asks for. Raises BadRequest, also where a package that it needs is missing."""
    found = next((one for one in OBJECT_FORMATS if path.name.lower().endswith(one.suffix)), None)
    if found is None:
        *others, last = (one.suffix for one in OBJECT_FORMATS)
        raise BadRequest(
            f"objects are saved as {', '.join(others)} or {last}; got {path.name!r}; choose one of these endings"
        )
    missing = [name for name in found.packages if find_spec(name) is None]
    if missing:
        raise BadRequest(
            f"{found.title} needs {' and '.join(missing)}, which is not installed; "
            f'pip install "napari-seamless[{found.extra}]", or save .csv or .geojson'
        )
    return found
