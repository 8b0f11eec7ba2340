"""The command that measures a result."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from napari_seamless.cli import objects as of_objects
from napari_seamless.cli import options as given
from napari_seamless.cli.progress import display
from napari_seamless.cli.run_options import with_run_options
from napari_seamless.errors import one_line
from napari_seamless.runs.config import RunConfig

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements


@with_run_options("region")
def measure(
    result: Annotated[str, typer.Argument(help="A result, or any label image.", metavar="RESULT", show_default=False)],
    config: RunConfig,
    roi: Annotated[
        str | None,
        typer.Option(
            "--roi",
            metavar="FILE.geojson|computed",
            help="Inside these outlines; or all that was computed, also beyond what was asked for.",
            show_default="what was asked of the run",
        ),
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            help="A class whose objects are counted, by name or number; may be given again; none: areas only.",
            show_default="all but the boundary",
        ),
    ] = None,
    boundary: Annotated[
        str,
        typer.Option(
            help="The class around objects whose pixels go to the nearest one; auto: one that is called so, or none."
        ),
    ] = "auto",
    reach: Annotated[float, typer.Option(help="How far from an object its boundary may lie, in pixels.")] = 4.0,
    min_area: Annotated[
        str, typer.Option("--min-area", metavar="N|Num2", help="Smallest object, in pixels or as 20um2.")
    ] = "0",
    connectivity: Annotated[int, typer.Option(help="1: objects hold together by sides; 2: also by corners.")] = 1,
    image: Annotated[
        str | None, typer.Option("--image", metavar="IMAGE", help="Add its means under objects.", show_default=False)
    ] = None,
    pixel_size: Annotated[
        float | None, typer.Option("--pixel-size", help="Micrometres per pixel.", show_default="the result's")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="OUT.csv", help="Save a row for each object.", show_default=False)
    ] = None,
    areas_csv: Annotated[
        Path | None,
        typer.Option("--areas-csv", metavar="OUT.csv", help="Save a row for each class.", show_default=False),
    ] = None,
    rois_csv: Annotated[
        Path | None,
        typer.Option(
            "--rois-csv", metavar="OUT.csv", help="Save a row for each outline, and a total.", show_default=False
        ),
    ] = None,
    output_image: given.OutputImage = None,
    objects: of_objects.ObjectFiles = None,
    positive: of_objects.Positive = None,
    histogram_csv: of_objects.Histogram = None,
    stains: of_objects.Stains = "auto",
    density: of_objects.Density = None,
    density_cell: of_objects.DensityCell = 250.0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the files.")] = False,
) -> None:
    """Measure a result: areas of its classes, and its objects, whatever its size."""
    import napari_seamless as ns
    from napari_seamless.measurement.measurements import check_table_path

    for path in (csv, areas_csv, rois_csv):
        if path is not None:
            check_table_path(path, overwrite=overwrite)
    asked = of_objects.ObjectRequest(tuple(objects or ()), positive, histogram_csv, density, density_cell)
    asked.check(overwrite=overwrite)
    options: dict[str, Any] = {
        "region": config.part.region,
        "roi": roi,
        "classes": None if classes is None else [name for name in classes if name != "none"],
        "boundary": None if boundary == "none" else boundary,
        "reach": reach,
        "connectivity": connectivity,
        "min_area": min_area,
        "pixel_size": pixel_size,
        "output_image": output_image,
    }
    shares = None
    with display() as shown:
        found = ns.measure(result, image, on_progress=shown.step, **options)
        if asked.is_anything:
            single = ns.measure_objects(
                result, image, stains=None if stains == "none" else stains, on_progress=shown.step, **options
            )
            shares = single.save(*asked.files, positive=positive, overwrite=overwrite, on_progress=shown.step)
            if density is not None:
                single.density_map(density_cell).save(density, overwrite=overwrite)
    console = Console()
    console.print(_areas(found))
    if found.objects:
        console.print(_objects(found))
    if found.parts:
        console.print(_parts(found))
    if shares is not None:
        console.print(of_objects.positive_table(found.name, shares))
        if histogram_csv is not None:
            shares.save_histogram(histogram_csv, overwrite=overwrite)
    for note in found.notes:
        console.print(Text(f"{note[:1].upper()}{note[1:]}."), soft_wrap=True)
    if csv is not None:
        typer.echo(found.save_csv(csv, overwrite=overwrite))
    if areas_csv is not None:
        typer.echo(found.save_csv(areas_csv, "areas", overwrite=overwrite))
    if rois_csv is not None:
        typer.echo(found.save_csv(rois_csv, "rois", overwrite=overwrite))
    for path in (*asked.files, histogram_csv, density):
        if path is not None:
            typer.echo(path)


def _areas(found: Measurements) -> Table:
    table = Table(title=Text(one_line(f"{found.name}: areas")), title_justify="left")
    table.add_column("class")
    for name in ("pixels", *(() if found.pixel_size is None else (_unit("mm", found),)), "share"):
        table.add_column(name, justify="right")
    for area in found.areas:
        swatch = Text("■ ", style=area.colour or "")
        real = () if area.mm is None else (f"{area.mm:,.6g}",)
        table.add_row(swatch + Text(one_line(area.name)), f"{area.pixels:,}", *real, f"{area.fraction:.2%}")
    return table


def _objects(found: Measurements) -> Table:
    table = Table(title=Text(one_line(f"{found.name}: objects")), title_justify="left")
    table.add_column("class")
    known = found.pixel_size is not None
    unit = _unit("µm", found) if known else "px"
    for name in ("objects", *((f"per {_unit('mm', found)}",) if known else ()), f"median {unit}", f"mean {unit}"):
        table.add_column(name, justify="right")
    for name in found.counted or (None,):
        density = found.density(name)
        per = () if density is None else (f"{density:,.4g}",)
        sizes = ("" if size is None else f"{size:,.4g}" for size in (found.median(name), found.mean(name)))
        table.add_row(Text(one_line(name or "all labels")), f"{found.count(name):,}", *per, *sizes)
    return table


def _parts(found: Measurements) -> Table:
    names, rows = found.table("rois")
    table = Table(title=Text(one_line(f"{found.name}: outlines")), title_justify="left")
    shown = [column for column, name in enumerate(names) if not name.endswith(("_um2", "_um3"))]
    for column in shown:
        table.add_column(Text(one_line(names[column].replace("_", " "))), justify="left" if column < 2 else "right")
    for row in rows:
        table.add_row(
            *(Text(f"{row[c]:,.6g}" if isinstance(row[c], int | float) else one_line(str(row[c]))) for c in shown)
        )
    return table


def _unit(length: str, found: Measurements) -> str:
    return f"{length}{'²' if found.ndim == 2 else '³'}"
