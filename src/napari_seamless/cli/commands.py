"""The commands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from napari_seamless.cli import options as given
from napari_seamless.cli.progress import busy, display, follow, save_moments, say
from napari_seamless.errors import OutputExists, OutputUnwritable
from napari_seamless.io.writers.formats import usual_suffixes

if TYPE_CHECKING:
    from napari_seamless import interfaces
    from napari_seamless.runs.origin import Origin

SAMPLE = "CMU-1-Small-Region.svs"


def run(
    slide: given.Slide,
    output: Annotated[Path, typer.Option("--output", "-o", help="The OME-Zarr folder to write.", show_default=False)],
    model: given.ModelOption = "nuclei",
    region: given.RegionOption = None,
    within: given.Within = None,
    level: given.Level = 0,
    budget: given.Budget = None,
    device: given.Device = "auto",
    tile: given.TileOption = None,
    scheduler: given.Scheduler = "dask",
    shards: Annotated[bool, typer.Option("--shards", help="Many chunks a file: fewer, larger files.")] = False,
    same_image: Annotated[
        bool, typer.Option("--same-image", help="The file was repaired or copied again: go on with the result.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output path.")] = False,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Where a network cannot be exact, blend overlapping tiles.")
    ] = False,
    keep: given.KeepOption = "auto",
    keep_half: given.KeepHalf = False,
    scratch: given.Scratch = None,
    statistics: given.StatisticsOption = "whole",
    moments: given.SaveMoments = None,
    tissue_only: given.TissueOnly = False,
    tissue_threshold: given.TissueThreshold = None,
    scene: given.Scene = None,
    axes: given.Axes = None,
    plane: given.Plane = None,
    channels: given.Channels = None,
    architecture: given.Architecture = None,
    arguments: given.Arguments = None,
    trust: given.Trust = False,
    pixel_size: given.PixelSize = None,
    precision: given.Precision = "float32",
) -> None:
    """Run a model on a slide and write the result as OME-Zarr. The same command again goes on where it stopped."""
    where = None if region is None else given.parse_region(region)
    import napari_seamless as ns
    from napari_seamless.runs.tiling import parse_budget

    with given.opened(slide, axes, scene, plane, channels) as image:
        with busy("tracing the network at the size of the image"):
            network = given.loaded(model, architecture, arguments, trust)
            prepared = ns.prepare(network, image, level=level, approximate=approximate, pixel_size=pixel_size)
        if prepared.approximation is not None:
            say("\n".join(("approximate, since it cannot be exact:", *prepared.approximation.lines())))
        tissue = given.tissue_of(prepared.source, tissue_threshold, tissue_only or statistics == "tissue")
        handle = ns.start(
            prepared,
            region=where,
            where=within,
            budget=None if budget is None else parse_budget(budget),
            tile=tile,
            device=device,
            scheduler=scheduler,
            output=output,
            overwrite=overwrite,
            shards=shards,
            same_image=same_image,
            keep=cast("Any", keep),
            keep_half=keep_half,
            scratch=scratch,
            statistics=statistics,
            tissue_only=tissue_only,
            mask=tissue,
            precision=precision,
        )
        for notice in handle.notices:
            say(notice)
        follow(handle, output)
        if moments is not None:
            save_moments(handle, moments)
        if (mismatch := handle.result().report.mismatch) is not None:
            say(f"approximate: {mismatch}")
    typer.echo(output)


def view(
    slide: given.Slide,
    model: given.ModelOption = "nuclei",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Keep the result here.", show_default="a temporary folder")
    ] = None,
    screenshot: Annotated[
        Path | None,
        typer.Option(help="Picture of the window, taken when the run has finished; then close.", show_default=False),
    ] = None,
) -> None:
    """Open napari on a slide with a model running on it. Without a display, the same as run."""
    if not _has_display():
        target = output or Path(f"{Path(slide).stem}-{model}.ome.zarr")
        say(f"there is no display here; running without a window, into {target}")
        run(slide, target, model)
        return
    import napari_seamless as ns
    from napari_seamless._napari.window import show

    ns.open_image(slide).close()  # what cannot work is said here, before a window opens
    ns.load_model(model)
    show(slide, model, output, screenshot)
    typer.echo("\n".join(str(path) for path in (output, screenshot) if path and screenshot))


def info(slide: given.Slide, scene: given.Scene = None, axes: given.Axes = None, plane: given.Plane = None) -> None:
    """Say what is in an image file; of a result also which model made it, and how much of it is done."""
    from napari_seamless.runs.origin import origin_at

    with given.opened(slide, axes, scene, plane) as image:
        typer.echo("\n".join((*_facts(image.info), *_origin(origin_at(slide)))))


def explain(
    model: Annotated[str, typer.Argument(help="A name from 'models', or a path.", metavar="MODEL", show_default=False)],
    slide: given.Slide,
    region: given.RegionOption = None,
    level: given.Level = 0,
    budget: given.Budget = None,
    device: given.Device = "auto",
    tile: given.TileOption = None,
    scene: given.Scene = None,
    axes: given.Axes = None,
    plane: given.Plane = None,
    channels: given.Channels = None,
    architecture: given.Architecture = None,
    arguments: given.Arguments = None,
    trust: given.Trust = False,
    pixel_size: given.PixelSize = None,
    precision: given.Precision = "float32",
) -> None:
    """Say how a model would be run on a slide, or why it is refused: operators, halo, tile size, bytes."""
    where = None if region is None else given.parse_region(region)
    import napari_seamless as ns
    from napari_seamless.runs.tiling import parse_budget

    with given.opened(slide, axes, scene, plane, channels) as image:
        size = None if budget is None else parse_budget(budget)
        network = given.loaded(model, architecture, arguments, trust)
        text = ns.explain(
            network,
            image,
            region=where,
            level=level,
            budget=size,
            tile=tile,
            device=device,
            pixel_size=pixel_size,
            precision=precision,
        )
    typer.echo(text)


def export(
    result: Annotated[str, typer.Argument(help="A result, or any image.", metavar="RESULT", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            help=f"The file to write: {usual_suffixes()} (the last for labels).", metavar="OUT", show_default=False
        ),
    ],
    region: given.RegionOption = None,
    level: Annotated[int, typer.Option(help="The level of the result that becomes the file's finest one.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output path.")] = False,
) -> None:
    """Save a result as a file for other programs; also while it is being made, as far as it is."""
    where = None if region is None else given.parse_region(region)
    import napari_seamless as ns

    with display() as shown:
        ns.export(result, path, region=where, level=level, overwrite=overwrite, on_progress=shown.step)
    typer.echo(path)


def sample(
    path: Annotated[Path | None, typer.Argument(help="A file or folder to copy it to.", show_default=False)] = None,
) -> None:
    """Print where the sample slide is (stained tissue, 2220 x 2967), or copy it to PATH."""
    with as_file(files("napari_seamless.io.readers") / "data" / SAMPLE) as packaged:
        if path is None:
            typer.echo(packaged)
            return
        target = path / SAMPLE if path.is_dir() else path
        if target.exists():
            raise OutputExists(f"the sample is not copied over something else; {target} exists, name another path")
        try:
            shutil.copyfile(packaged, target)
        except OSError as error:
            raise OutputUnwritable(f"cannot write the sample to {target}: {error.strerror}") from error
    typer.echo(target)


def _facts(info: interfaces.ImageInfo) -> Iterator[str]:
    """Lines about an image."""
    axes = ", ".join("zyx"[-info.ndim :])
    yield f"name        {info.name}"
    yield f"format      {info.format}"
    yield f"channels    {info.channels}{' (RGB)' if info.rgb else ''} of {info.dtype}"
    if info.channel_names:
        yield f"names       {', '.join(info.channel_names)}"
    size = "not said in the file" if info.pixel_size is None else " x ".join(f"{s:g}" for s in info.pixel_size)
    yield f"pixel size  {size}{'' if info.pixel_size is None else f' {info.unit}'}"
    if info.scenes:
        yield f"scenes      {', '.join(info.scenes)}; this one is {info.scene or info.scenes[0]}"
    if info.times > 1:
        taken = dict(info.plane).get("t")
        this = "the first is taken" if taken is None else f"this is t={taken}"
        yield f"times       {info.times}; {this}; choose another by --plane t=1"
    yield from (f"notice      {notice}" for notice in info.notices)
    for index, shape in enumerate(info.levels.shapes):
        yield f"level {index}     {' x '.join(map(str, shape))}  ({axes})"


def _origin(origin: Origin | None) -> Iterator[str]:
    """Lines about a result of ours; none about any other image."""
    if origin is None:
        return
    yield f"made by     {origin.model}, of {origin.image}; {origin.scope}"
    if origin.fraction == 1:
        yield "finished    all of it"
    else:  # never rounded to nothing or to all
        share = min(max(100 * origin.fraction, 0.01), 99.99) if origin.fraction else 0
        yield f"finished    {share:.4g} % of it; the rest is empty: not asked for, or not reached"


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
