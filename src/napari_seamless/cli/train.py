"""The command that trains, and how it is followed in a shell."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from napari_seamless.cli import options as given
from napari_seamless.cli.progress import say
from napari_seamless.errors import BadRequest, OutputExists, OutputUnwritable

if TYPE_CHECKING:
    from napari_seamless.training.command.events import TrainingEvent

EXAMPLE = "training.toml"
SECONDS = 10.0
"""Between two lines of a log."""


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

    with _told_to_stop() as stop, _display() as shown:
        folder = ns.train(
            config, output=output, steps=steps, restart=restart, trust=trust, on_event=shown.show, stop=stop
        )
    typer.echo(folder)


def classify(
    slide: given.Slide,
    model: Annotated[
        str, typer.Option("--model", "-m", help="A model folder that was trained on labels.", show_default=False)
    ],
    level: given.Level = 0,
    budget: given.Budget = None,
    device: given.Device = "auto",
    trust: given.Trust = False,
) -> None:
    """Say what a model takes a whole slide for: each class with its probability."""
    import napari_seamless as ns
    from napari_seamless.runs.tiling import parse_budget

    size = None if budget is None else parse_budget(budget)
    network = ns.load_model(model, trust=trust)
    found = ns.classify(network, slide, level=level, budget=size, device=device)
    typer.echo("\n".join(f"{number:.4f}  {name}" for name, number in found.items()))


class Display(Protocol):
    """Where the progress of a training is shown."""

    def show(self, event: TrainingEvent) -> None: ...


class Lines:
    """A line for what matters, and every ten seconds one for a step: for a log file."""

    def __init__(self) -> None:
        self._said, self._mean = monotonic(), Mean()

    def show(self, event: TrainingEvent) -> None:
        from napari_seamless.training.command.events import Stepped

        if isinstance(event, Stepped):
            loss = self._mean.with_one_more(event.loss)
            if monotonic() - self._said > SECONDS:
                self._said = monotonic()
                say(f"step {event.step} of {event.steps}, loss {loss:.4f}")
        elif (text := in_words(event)) is not None:
            say(text)


class Bar:
    """A bar with loss and the time left, for a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task, self._mean = progress, task, Mean()

    def show(self, event: TrainingEvent) -> None:
        from napari_seamless.training.command.events import Began, Looked, Stepped

        match event:
            case Looked():
                self._update(completed=event.done, total=event.total, what="looking at images")
            case Began():
                self._progress.reset(self._task, total=event.steps, completed=event.step, what="learning")
            case Stepped():
                loss = self._mean.with_one_more(event.loss)
                self._update(completed=event.step, total=event.steps, what=f"loss {loss:.4f}")
        if (text := in_words(event)) is not None:
            self._progress.console.print(text, highlight=False)

    def _update(self, **fields: Any) -> None:
        self._progress.update(self._task, **fields)


class Mean:
    """A running mean of losses, which jump from step to step."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def with_one_more(self, loss: float) -> float:
        self._mean = loss if self._mean is None else 0.95 * self._mean + 0.05 * loss
        return self._mean


def in_words(event: TrainingEvent) -> str | None:
    """What is said of an event; nothing of most."""
    from napari_seamless.training.command.events import Began, Finished, Validated

    match event:
        case Began():
            how = f"going on after step {event.step}" if event.step else "beginning"
            notices = "".join(f"; notice: {notice}" for notice in event.notices)
            return (
                f"{how}: {event.learned} images to learn from, {event.held_out} held out, {event.steps} steps{notices}"
            )
        case Validated():
            figures = event.figures
            score = f"error {figures.error:.4g}" if figures.error is not None else f"mean Dice {figures.score:.4f}"
            best = " (best so far)" if event.is_best else ""
            return f"step {event.step}, held out: loss {figures.loss:.4f}, {score}{best}"
        case Finished():
            done = "nothing was left to do" if event.was_before else "finished"
            return f"{done}: {event.steps} steps; held out: {event.held_out}"
    return None


@contextmanager
def _display() -> Iterator[Display]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[what]}"), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console) as progress:
        yield Bar(progress, progress.add_task("", total=None, what=""))


@contextmanager
def _told_to_stop() -> Iterator[Any]:
    """Ctrl-C, and what ends a job on a cluster, let the training end cleanly; a second time they end it at once."""
    told = False
    signals = [signal.SIGINT, signal.SIGTERM]

    def tell(number: int, frame: object) -> None:
        del number, frame
        nonlocal told
        if told:
            raise KeyboardInterrupt
        told = True
        say("stopping after this step; once more to stop at once")

    before = {number: signal.signal(number, tell) for number in signals}
    try:
        yield lambda: told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _example(folder: Path) -> Path:
    from napari_seamless.training.command.training_file import example_training

    target = folder / EXAMPLE if folder.is_dir() else folder
    if target.exists():
        raise OutputExists(f"the example is not written over something else; {target} exists; name another path")
    try:
        target.write_text(example_training(), encoding="utf-8")
    except OSError as error:
        raise OutputUnwritable(f"cannot write the example to {target}: {error.strerror}") from error
    return target
