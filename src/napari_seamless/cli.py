"""The pipeline in a shell.

    napari-seamless run SLIDE --model nuclei --output OUT.ome.zarr
    napari-seamless explain nuclei SLIDE
    napari-seamless export OUT.ome.zarr OUT.geojson

Results go to standard output, everything else to standard error. An error is one sentence, and the exit code is
that of its class (errors.py): 2 a parameter, 3 the image, 4 image and model, 5 the model, 6 the device, 7 the output,
9 parts of the image could not be read, 130 stopped. Commands import what they need when they run, so that ``--help``
answers at once.
"""

from __future__ import annotations

import os
import shutil
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from time import monotonic, sleep
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Any, Protocol, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from napari_seamless import __version__, cli_models
from napari_seamless.errors import (
    BadRequest,
    OutputExists,
    OutputUnwritable,
    RegionsFailed,
    RunCancelled,
    SeamlessError,
)

if TYPE_CHECKING:
    from napari_seamless import pipeline, seams
    from napari_seamless.geometry import Region

NAME = "napari-seamless"
SAMPLE = "CMU-1-Small-Region.svs"

app = typer.Typer(
    name=NAME,
    help="Run convolutional networks on images of any size, exactly as if the whole image fitted in memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_models.models, name="models")

Slide = Annotated[
    str, typer.Argument(help="An image file, or an OME-Zarr folder.", metavar="SLIDE", show_default=False)
]
ModelOption = Annotated[str, typer.Option("--model", "-m", help="A name from 'models', or a path to a model file.")]
Level = Annotated[int, typer.Option(help="The level of the pyramid to work on; 0 is the finest.")]
Budget = Annotated[
    str | None, typer.Option(help="Device memory that the run may use, as 2GB or 500MB.", show_default="what is free")
]
TileOption = Annotated[
    int | None, typer.Option("--tile", help="Side of a tile in pixels.", show_default="the largest that fits")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, mps or xpu.")]
RegionOption = Annotated[
    str | None,
    typer.Option(
        "--region", metavar="Y0:Y1,X0:X1", help="Half-open, in level-0 pixels.", show_default="the whole image"
    ),
]
Scheduler = Annotated[str, typer.Option(help="dask, serial, or the address of a dask cluster (tcp://...).")]
KeepOption = Annotated[
    str,
    typer.Option("--keep", help="What lies between two passes: auto, recompute (nothing), or on device, host or disk."),
]
KeepHalf = Annotated[bool, typer.Option("--keep-half", help="Round it to half precision: smaller, not exact.")]
Scratch = Annotated[
    Path | None, typer.Option("--scratch", help="A folder for what is kept on disk.", show_default="beside the output")
]
StatisticsOption = Annotated[
    str,
    typer.Option(
        "--statistics",
        metavar="whole|local|FILE",
        help="Of what norms over the plane are taken: the whole image (exact), each tile (approximate), or as saved in "
        "a file of moments or an earlier result.",
    ),
]
SaveMoments = Annotated[
    Path | None,
    typer.Option("--save-moments", metavar="FILE.safetensors", help="Save what was measured.", show_default=False),
]


@dataclass
class Options:
    """What holds for every command."""

    debug: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line (default: this process's) and return its exit code."""
    options = Options()
    if argv is None:
        sys.excepthook = lambda kind, error, trace: _unexpected(options, kind, error, trace)
    try:
        typer.main.get_command(app)(args=None if argv is None else list(argv), prog_name=NAME, obj=options)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except SeamlessError as error:
        if options.debug:
            traceback.print_exc()
        _say(f"{NAME}: {error}")
        return error.exit_code
    return 0


def _unexpected(options: Options, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if options.debug:
        sys.__excepthook__(kind, error, trace)
    else:
        _say(f"{NAME}: a fault of the program itself ({kind.__name__}: {error}); see where with '{NAME} --debug ...'")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error comes from.")] = False,
    _version_asked: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say it and stop.")
    ] = False,
) -> None:
    context.obj.debug = debug


@app.command()
def run(
    slide: Slide,
    output: Annotated[Path, typer.Option("--output", "-o", help="The OME-Zarr folder to write.", show_default=False)],
    model: ModelOption = "nuclei",
    region: RegionOption = None,
    level: Level = 0,
    budget: Budget = None,
    device: Device = "auto",
    tile: TileOption = None,
    scheduler: Scheduler = "dask",
    shards: Annotated[bool, typer.Option("--shards", help="Many chunks a file: fewer, larger files.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output path.")] = False,
    approximate: Annotated[
        bool, typer.Option("--approximate", help="Where a network cannot be exact, blend overlapping tiles.")
    ] = False,
    keep: KeepOption = "auto",
    keep_half: KeepHalf = False,
    scratch: Scratch = None,
    statistics: StatisticsOption = "whole",
    save_moments: SaveMoments = None,
    architecture: cli_models.Architecture = None,
    arguments: cli_models.Arguments = None,
    trust: cli_models.Trust = False,
    pixel_size: cli_models.PixelSize = None,
) -> None:
    """Run a model on a slide and write the result as OME-Zarr. The same command again goes on where it stopped."""
    where = None if region is None else parse_region(region)
    from napari_seamless import pipeline

    with closing(pipeline.open_image(slide)) as image:
        with _busy("tracing the network at the size of the image"):
            network = cli_models.loaded(model, architecture, arguments, trust)
            prepared = pipeline.prepare(network, image, level=level, approximate=approximate, pixel_size=pixel_size)
        if prepared.approximation is not None:
            _say("\n".join(("approximate, since it cannot be exact:", *prepared.approximation.lines())))
        handle = pipeline.start(
            prepared,
            region=where,
            budget=None if budget is None else pipeline.parse_budget(budget),
            tile=tile,
            device=device,
            scheduler=scheduler,
            output=output,
            overwrite=overwrite,
            shards=shards,
            keep=cast("Any", keep),
            keep_half=keep_half,
            scratch=scratch,
            statistics=statistics,
        )
        _follow(handle, output)
        if save_moments is not None:
            _save_moments(handle, save_moments)
        if (mismatch := handle.result().report.mismatch) is not None:
            _say(f"approximate: {mismatch}")
    typer.echo(output)


@app.command()
def view(
    slide: Slide,
    model: ModelOption = "nuclei",
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
        _say(f"there is no display here; running without a window, into {target}")
        run(slide, target, model)
        return
    from napari_seamless import pipeline
    from napari_seamless._napari.window import show

    pipeline.open_image(slide).close()  # what cannot work is said here, before a window opens
    pipeline.load_model(model)
    show(slide, model, output, screenshot)
    typer.echo("\n".join(str(path) for path in (output, screenshot) if path and screenshot))


@app.command()
def info(slide: Slide) -> None:
    """Say what is in an image file."""
    from napari_seamless import pipeline

    with closing(pipeline.open_image(slide)) as image:
        typer.echo("\n".join(_facts(image.info)))


@app.command()
def explain(
    model: Annotated[str, typer.Argument(help="A name from 'models', or a path.", metavar="MODEL", show_default=False)],
    slide: Slide,
    level: Level = 0,
    budget: Budget = None,
    device: Device = "auto",
    tile: TileOption = None,
    architecture: cli_models.Architecture = None,
    arguments: cli_models.Arguments = None,
    trust: cli_models.Trust = False,
    pixel_size: cli_models.PixelSize = None,
) -> None:
    """Say how a model would be run on a slide, or why it is refused: operators, halo, tile size, bytes."""
    from napari_seamless import pipeline

    with closing(pipeline.open_image(slide)) as image:
        size = None if budget is None else pipeline.parse_budget(budget)
        network = cli_models.loaded(model, architecture, arguments, trust)
        text = pipeline.explain(
            network, image, level=level, budget=size, tile=tile, device=device, pixel_size=pixel_size
        )
    typer.echo(text)


@app.command()
def export(
    result: Annotated[str, typer.Argument(help="A result, or any image.", metavar="RESULT", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            help="The file to write: .ome.zarr, .ome.tif, or .geojson (labels).", metavar="OUT", show_default=False
        ),
    ],
    region: RegionOption = None,
    level: Annotated[int, typer.Option(help="The level of the result that becomes the file's finest one.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at the output path.")] = False,
) -> None:
    """Save a result as a file for other programs; also while it is being made, as far as it is."""
    where = None if region is None else parse_region(region)
    from napari_seamless import pipeline

    with _display() as display:
        pipeline.export(result, path, region=where, level=level, overwrite=overwrite, on_progress=display.step)
    typer.echo(path)


@app.command()
def sample(
    path: Annotated[Path | None, typer.Argument(help="A file or folder to copy it to.", show_default=False)] = None,
) -> None:
    """Print where the sample slide is (stained tissue, 2220 x 2967), or copy it to PATH."""
    with as_file(files("napari_seamless") / "sources" / "data" / SAMPLE) as packaged:
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


def parse_region(text: str) -> Region:
    """``Y0:Y1,X0:X1`` (with ``Z0:Z1,`` before it for a volume) as a region of level-0 pixels."""
    from napari_seamless.geometry import Region

    bounds: list[tuple[int, int]] = []
    for part in text.split(","):
        lo, colon, hi = part.partition(":")
        if not (colon and lo.strip().isdecimal() and hi.strip().isdecimal() and int(lo) < int(hi)):
            raise BadRequest(f"a region is Y0:Y1,X0:X1, each from a smaller to a larger whole number; got {text!r}")
        bounds.append((int(lo), int(hi)))
    if len(bounds) not in (2, 3):
        raise BadRequest(f"a region has two axes, Y0:Y1,X0:X1, or three with Z0:Z1 in front; got {text!r}")
    return Region.of(*bounds)


def _facts(info: seams.ImageInfo) -> Iterator[str]:
    """Lines about an image."""
    axes = " x ".join("zyx"[-info.ndim :])
    yield f"name        {info.name}"
    yield f"format      {info.format}"
    yield f"channels    {info.channels}{' (RGB)' if info.rgb else ''} of {info.dtype}"
    if info.channel_names:
        yield f"names       {', '.join(info.channel_names)}"
    size = "not said in the file" if info.pixel_size is None else " x ".join(f"{s:g}" for s in info.pixel_size)
    yield f"pixel size  {size}{'' if info.pixel_size is None else f' {info.unit}'}"
    for index, shape in enumerate(info.levels.shapes):
        yield f"level {index}     {' x '.join(map(str, shape))}  ({axes})"


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


class Display(Protocol):
    """Where the progress of a run is shown."""

    def show(self, now: seams.Progress) -> None: ...

    def step(self, done: int, total: int) -> None: ...


class Bar:
    """A bar with throughput and the time left, for a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def show(self, now: seams.Progress) -> None:
        rate = f"{now.rate / 1e6:.2f} MP/s" if now.rate else ""
        self.progress.update(self.task, completed=now.done, total=now.total, rate=rate, size=_amount(now))

    def step(self, done: int, total: int) -> None:
        self.progress.update(self.task, completed=done, total=total)


class Lines:
    """A line at every tenth of the way, but no more than one every ten seconds: for a log file."""

    def __init__(self) -> None:
        self.tenth, self.said = 0, monotonic()

    def show(self, now: seams.Progress) -> None:
        tenth = int(10 * now.fraction)
        if tenth > self.tenth and monotonic() - self.said > 10:
            left = "" if now.eta is None else f", {now.eta:.0f} s left"
            _say(f"{_amount(now)}, {now.rate / 1e6:.2f} MP/s{left}")
            self.tenth, self.said = tenth, monotonic()

    def step(self, done: int, total: int) -> None:
        if monotonic() - self.said > 10:
            _say(f"{100 * done // total} %")
            self.said = monotonic()


@contextmanager
def _display() -> Iterator[Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[size]}  {task.fields[rate]}"),
        TimeRemainingColumn(compact=True),
    )
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, progress.add_task("", total=None, size="", rate=""))


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """Say what is being waited for, where somebody is looking."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def _follow(handle: pipeline.Run, output: Path) -> None:
    """Show a run until it ends; Ctrl-C cancels it. Raises what made it fail."""
    try:
        with _display() as display:
            while (now := handle.progress()).state in ("waiting", "running", "paused"):
                display.show(now)
                sleep(0.1)
            display.show(now)
        handle.wait()
    except KeyboardInterrupt:
        _cancel(handle)
        raise RunCancelled(f"stopped; {_kept(handle, output)}") from None
    except SeamlessError:
        if handle.progress().done:
            _say(_kept(handle, output))
        raise
    if now.failed:
        raise RegionsFailed(
            f"an image must be readable everywhere; {now.failed / 1e6:.2f} MP of the result were left out, since it "
            f"could not be read there; repair or copy the file again; {_kept(handle, output)}"
        )
    if now.tiles == 0:
        _say(f"nothing was left to do: all {now.done / 1e6:.2f} MP were finished before")
        return
    report = handle.result().report
    passes = "" if now.passes == 1 else f" in {now.passes} passes"
    rate = report.pixels / max(now.seconds, 1e-9) / 1e6
    _say(f"{report.pixels / 1e6:.2f} MP in {now.seconds:.1f} s ({rate:.3g} MP/s), {now.tiles} tiles{passes}")
    if report.self_check is not None:
        _say(str(report.self_check))


def _save_moments(handle: pipeline.Run, path: Path) -> None:
    if handle.moments is None:
        raise BadRequest(
            "moments are measured of networks that look at the whole plane, in a run that is not finished yet; this "
            "one had nothing to measure; leave --save-moments out"
        )
    try:
        handle.moments.save(path)
    except OSError as error:
        raise OutputUnwritable(f"cannot write the moments to {path}: {error.strerror}") from error


def _cancel(handle: pipeline.Run) -> None:
    """Cancel and wait until the tiles in flight have let go of the output."""
    handle.cancel()
    try:
        handle.wait()
    except RunCancelled:
        return


def _kept(handle: pipeline.Run, output: Path) -> str:
    """What a run that ended early leaves."""
    now = handle.progress()
    if now.pass_number < now.passes:
        done = f"{now.pass_number - 1} of {now.passes} passes are"
    else:
        done = f"{handle.result().report.pixels / 1e6:.2f} MP are"
    return f"{done} finished and kept in {output}; the same command goes on from there"


def _amount(now: seams.Progress) -> str:
    """How far a run is."""
    if now.passes > 1:
        return f"pass {now.pass_number} of {now.passes}"
    return f"{now.done / 1e6:.2f} of {now.total / 1e6:.2f} MP"


def _say(text: str) -> None:
    typer.echo(text, err=True)
