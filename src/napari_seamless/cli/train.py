"""The commands `train` and `classify`."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_seamless.cli import options as given
from napari_seamless.cli.progress import say
from napari_seamless.cli.run_options import with_run_options
from napari_seamless.cli.training_progress import display_training
from napari_seamless.errors import BadRequest, OutputExists, OutputUnwritable
from napari_seamless.runs.config import RunConfig

EXAMPLE = "training.toml"


def train(
    config: Annotated[
        Path | None,
        typer.Argument(help="A training file: what to learn, from what.", metavar="CONFIG.toml", show_default=False),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The model folder to write.", show_default="as in the file"),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="How long.", show_default="as in the file")] = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget what was trained here, and begin again.")] = False,
    trust: given.Trust = False,
    example: Annotated[
        Path | None,
        typer.Option(
            "--example", metavar="DIR", help="Write a training file to fill in, and stop.", show_default=False
        ),
    ] = None,
) -> None:
    """Train a network on folders of images and masks, or on labelled slides. The same command again goes on."""
    if example is not None:
        typer.echo(_example(example))
        return
    if config is None:
        raise BadRequest("a training is described in a file; none was named; make one with 'train --example .'")
    import napari_seamless as ns

    with _stop_on_signals() as stop, display_training() as display:
        folder = ns.train(
            config, output=output, steps=steps, restart=restart, trust=trust, on_event=display.show, stop=stop
        )
    typer.echo(folder)


@with_run_options("level", "value_range", "budget", "device")
def classify(
    image: given.Image,
    config: RunConfig,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model folder that was trained on labels.", show_default=False)
    ],
    trust: given.Trust = False,
) -> None:
    """Say what a model takes a whole image for: each class with its probability."""
    import napari_seamless as ns

    network = ns.load_model(model, trust=trust)
    found = ns.classify(
        network,
        image,
        level=config.image.level,
        budget=config.memory.budget,
        device=config.execution.device,
        value_range=config.image.value_range,
        on_notice=say,
    )
    typer.echo("\n".join(f"{number:.4f}  {name}" for name, number in found.items()))


@contextmanager
def _stop_on_signals() -> Iterator[Any]:
    """Ctrl-C, and what ends a job on a cluster, let the training end cleanly; a second time they end it at once."""
    is_stopping = False
    signals = [signal.SIGINT, signal.SIGTERM]

    def on_signal(number: int, frame: object) -> None:
        del number, frame
        nonlocal is_stopping
        if is_stopping:
            raise KeyboardInterrupt
        is_stopping = True
        say("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        yield lambda: is_stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _example(folder: Path) -> Path:
    from napari_seamless.training.from_files.training_file import example_training

    target = folder / EXAMPLE if folder.is_dir() else folder
    if target.exists():
        raise OutputExists(f"the example is not written over something else; {target} exists; name another path")
    try:
        target.write_text(example_training(), encoding="utf-8")
    except OSError as error:
        raise OutputUnwritable(f"cannot write the example to {target}: {error.strerror}") from error
    return target
