"""The commands."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_seamless.cli import options as given
from napari_seamless.cli.objects import ObjectFiles, ObjectRequest
from napari_seamless.cli.progress import busy, display, follow, say, write_moments
from napari_seamless.cli.run_options import with_export_options, with_run_options
from napari_seamless.errors import OutputExists, OutputUnwritable, WindowMissing, one_line
from napari_seamless.io.writers.formats import usual_suffixes
from napari_seamless.runs.claims import APPROXIMATE, CLAIMS, SAME
from napari_seamless.runs.config import RunConfig
from napari_seamless.runs.export_options import ExportOptions

if TYPE_CHECKING:
    from napari_seamless import interfaces
    from napari_seamless.models import Model
    from napari_seamless.runs.origin import Origin

SAMPLE = "CMU-1-Small-Region.svs"


@with_run_options(required=("output",))
def run(
    image: given.Image,
    config: RunConfig,
    model: given.ModelOption = "nuclei",
    architecture: given.Architecture = None,
    arguments: given.Arguments = None,
    trust: given.Trust = False,
    save_moments: given.SaveMoments = None,
    objects: ObjectFiles = None,
) -> None:
    """Run a model on an image and write the result as OME-Zarr. The same command again goes on where it stopped."""
    request = ObjectRequest(tuple(objects or ()))
    request.check(overwrite=config.output.overwrite)
    _run(image, config, lambda: given.loaded(model, architecture, arguments, trust), save_moments, request.files)


def _run(
    image: str,
    config: RunConfig,
    load: Callable[[], Model],
    save_moments: Path | None = None,
    objects: tuple[Path, ...] = (),
) -> None:
    import napari_seamless as ns

    output = config.output.output
    assert output is not None
    with given.opened(image, config.image) as source:
        with busy("tracing the network at the size of the image"):
            network = load()
            prepared = ns.prepare(network, source, config=given.as_opened(config))
        if not prepared.exact:
            say("\n".join((f"{APPROXIMATE}, since it cannot be the {SAME}:", *prepared.lines())))
        handle = ns.start(prepared, config=config)
        for notice in handle.notices:
            say(notice)
        told = handle.notices
        follow(handle, output)
        for notice in handle.notices:
            if notice not in told:
                say(notice)
        if save_moments is not None:
            write_moments(handle, save_moments)
        if (mismatch := handle.result().report.mismatch) is not None:
            say(f"{APPROXIMATE}: {mismatch}")
        if objects:
            with display() as shown:
                found = ns.measure_objects(handle.result(), source, on_progress=shown.step)
                found.save(*objects, overwrite=config.output.overwrite, on_progress=shown.step)
            say(f"{len(found):,} objects saved")
    for path in (output, *objects):
        typer.echo(path)


@with_run_options(without={"output": "a temporary folder"})
def view(
    image: given.Image,
    config: RunConfig,
    model: given.ModelOption = "nuclei",
    architecture: given.Architecture = None,
    arguments: given.Arguments = None,
    trust: given.Trust = False,
    screenshot: Annotated[
        Path | None,
        typer.Option(help="Picture of the window, taken when the run has finished; then close.", show_default=False),
    ] = None,
) -> None:
    """Open napari on an image with a model running on it, every option in its widget. Without a display, as run."""
    output = config.output.output

    def load() -> Model:
        return given.loaded(model, architecture, arguments, trust)

    if not _has_display():
        target = output or Path(f"{Path(image).stem}-{Path(model).stem}.ome.zarr")
        say(f"there is no display here; running without a window, into {target}")
        _run(image, config.replace(output=target), load)
        return
    try:
        from napari_seamless._napari.run.network_cache import LoadRequest
        from napari_seamless._napari.window import show
    except ModuleNotFoundError as error:
        raise WindowMissing(
            f"a window needs napari and Qt; {error.name} is not installed here; "
            'pip install "napari-seamless[gui]", or use run, which needs no window'
        ) from error

    with given.opened(image, config.image):  # what cannot work is said here, before a window opens
        load()
        given.check_roi(config)
    show(image, LoadRequest(model, architecture or "", arguments or "{}"), config, screenshot)
    typer.echo("\n".join(str(path) for path in (output, screenshot) if path and screenshot))


@with_run_options("scene", "axes", "plane")
def info(image: given.Image, config: RunConfig) -> None:
    """Say what is in an image file; of a result also which model made it, and how much of it is done."""
    from napari_seamless.runs.origin import origin_at

    with given.opened(image, config.image) as source:
        typer.echo("\n".join(map(one_line, (*_facts(source.info), *_origin(origin_at(image))))))


@with_run_options()
def explain(
    image: given.Image,
    config: RunConfig,
    model: given.ModelOption = "nuclei",
    architecture: given.Architecture = None,
    arguments: given.Arguments = None,
    trust: given.Trust = False,
) -> None:
    """Say how a run with these very options would go, or why it is refused: operators, halo, tile size, bytes."""
    import napari_seamless as ns

    with given.opened(image, config.image) as source:
        network = given.loaded(model, architecture, arguments, trust)
        text = ns.explain(network, source, config=given.as_opened(config))
    typer.echo(text)


@with_export_options
def export(
    result: Annotated[str, typer.Argument(help="A result, or any image.", metavar="RESULT", show_default=False)],
    path: Annotated[
        Path,
        typer.Argument(
            help=f"The file to write: {usual_suffixes()} (the last for labels).", metavar="OUT", show_default=False
        ),
    ],
    wanted: ExportOptions,
    output_image: given.OutputImage = None,
) -> None:
    """Save a result as a file for other programs; also while it is being made, as far as it is."""
    import napari_seamless as ns
    from napari_seamless.runs.export import saved_as

    said = saved_as(result, path, region=wanted.region, roi=wanted.roi, output_image=output_image)
    with display() as shown:
        ns.export(result, path, on_progress=shown.step, output_image=output_image, **vars(wanted))
    if said:
        say(said)
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
    used = "" if info.value_range is None else " from {:g} to {:g}".format(*info.value_range)
    yield f"channels    {info.channels}{' (RGB)' if info.rgb else ''} of {info.dtype}{used}"
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
    yield f"made by     {origin.model}, of {origin.image}; {CLAIMS.get(origin.scope, origin.scope)}"
    if origin.asked:
        yield f"asked for   {origin.asked}"
    if origin.objects:
        yield f"objects     {', '.join(f'{name} {value}' for name, value in origin.objects.items() if name != 'chunk')}"
    if origin.options:
        yield f"options     {', '.join(f'{name}={_value(value)}' for name, value in origin.options.items())}"
    yield from (f"notice      {notice}" for notice in origin.notices)
    if origin.fraction == 1:
        yield "finished    all of it"
    else:  # never rounded to nothing or to all
        share = min(max(100 * origin.fraction, 0.01), 99.99) if origin.fraction else 0
        yield f"finished    {share:.4g} % of it; the rest is empty: not asked for, or not reached"


def _value(saved: object) -> object:
    """An option as a result has it: a region as it is typed; of an array there is only a digest."""
    match saved:
        case {"region": text}:
            return text
        case {"sha256": digest}:
            return f"sha256 {digest}"
    return saved


def _has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
