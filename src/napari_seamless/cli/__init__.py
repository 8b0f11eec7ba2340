"""The library in a shell: ``napari-seamless VERB IMAGE --model MODEL``, with the same options for all verbs.

    napari-seamless run IMAGE --model nuclei --output OUT.ome.zarr
    napari-seamless explain IMAGE --model nuclei
    napari-seamless export OUT.ome.zarr OUT.geojson
    napari-seamless train CONFIG.toml

Results go to standard output, everything else to standard error. An error is one sentence, and the exit code is
that of its class (errors.py): 2 a parameter, 3 the image, 4 image and model, 5 the model, 6 the device, 7 the output,
9 parts of the image could not be read, 130 stopped. Commands import what they need when they run, so that ``--help``
answers at once.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Annotated

import typer

from napari_seamless import __version__
from napari_seamless.cli import commands
from napari_seamless.cli.measure import measure
from napari_seamless.cli.models import models
from napari_seamless.cli.progress import say
from napari_seamless.cli.train import classify, train
from napari_seamless.errors import SeamlessError

__all__ = ["app", "main"]

NAME = "napari-seamless"

app = typer.Typer(
    name=NAME,
    help="Run convolutional networks on images of any size, as if the whole image fitted in memory.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (
    commands.run,
    commands.view,
    commands.info,
    commands.explain,
    commands.export,
    measure,
    train,
    classify,
    commands.sample,
):
    app.command()(command)
app.add_typer(models, name="models")


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
        say(f"{NAME}: {error}")
        return error.exit_code
    return 0


def _unexpected(options: Options, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if options.debug:
        sys.__excepthook__(kind, error, trace)
    else:
        say(f"{NAME}: a fault of the program itself ({kind.__name__}: {error}); see where with '{NAME} --debug ...'")


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
