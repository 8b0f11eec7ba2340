"""What the command that measures does with single objects: files of them, their positive share, their density."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from napari_seamless.errors import one_line

if TYPE_CHECKING:
    from napari_seamless.measurement.objects.positive import PositiveShares

NONE = "none"

ObjectFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--objects",
        metavar="OUT.csv|geojson|parquet|h5ad|zarr",
        help="Save every object with its outline and measurements, for tables, QuPath, GeoParquet, AnnData or "
        "SpatialData; may be given again.",
        show_default=False,
    ),
]
Positive = Annotated[
    str | None,
    typer.Option(
        "--positive",
        metavar="'COLUMN>N'",
        help="Which objects are positive, such as 'mean_DAB>0.2': their share, in all and in each outline.",
        show_default=False,
    ),
]
Histogram = Annotated[
    Path | None,
    typer.Option(
        "--histogram-csv",
        metavar="OUT.csv",
        help="Save how many objects have which value of the column of --positive.",
        show_default=False,
    ),
]
Stains = Annotated[
    str,
    typer.Option(
        "--stains",
        metavar="hed|hdx|none",
        help="Which stains a colour image has: haematoxylin, eosin, DAB; haematoxylin, DAB; or none.",
        show_default="hed for colour images",
    ),
]
Density = Annotated[
    Path | None,
    typer.Option(
        "--density",
        metavar="OUT.ome.tif|ome.zarr",
        help="Save objects per mm² as an image.",
        show_default=False,
    ),
]
DensityCell = Annotated[float, typer.Option("--density-cell", help="Micrometres along a pixel of that image.")]


@dataclass(frozen=True)
class ObjectRequest:
    """What was asked of single objects on a command line."""

    files: tuple[Path, ...]
    positive: str | None = None
    histogram: Path | None = None
    density: Path | None = None
    cell: float = 250.0

    @property
    def is_anything(self) -> bool:
        return bool(self.files or self.positive or self.histogram or self.density)

    def check(self, *, overwrite: bool) -> None:
        """Refuse what cannot be done, before the work. Raises BadRequest, OutputExists."""
        from napari_seamless.errors import BadRequest
        from napari_seamless.io.writers.formats import format_for
        from napari_seamless.io.writers.object_formats import object_format
        from napari_seamless.measurement.measurements import check_table_path
        from napari_seamless.measurement.objects.positive import Threshold

        for path in self.files:
            object_format(path)
        if self.positive is not None:
            Threshold.of(self.positive)
        if self.histogram is not None and self.positive is None:
            raise BadRequest("a histogram is of the column of a threshold; got none; name one (--positive 'COLUMN>N')")
        if self.density is not None and format_for(self.density).writer == "geojson":
            raise BadRequest(f"a density map is an image; got {self.density.name!r}; name it .ome.tif or .ome.zarr")
        for path in (*self.files, *(one for one in (self.histogram, self.density) if one is not None)):
            check_table_path(path, overwrite=overwrite)


def positive_table(name: str, shares: PositiveShares) -> Table:
    """A line for all objects, and one for each outline."""
    table = Table(title=Text(one_line(f"{name}: positive is {shares.threshold}")), title_justify="left")
    table.add_column("roi")
    for column in ("objects", "positive", "negative", "percent"):
        table.add_column(column, justify="right")
    for share in shares.shares:
        percent = "" if share.percent is None else f"{share.percent:.2f}"
        counts = (f"{n:,}" for n in (share.count, share.positive, share.negative))
        table.add_row(Text(one_line(share.name or "all")), *counts, percent)
    return table
