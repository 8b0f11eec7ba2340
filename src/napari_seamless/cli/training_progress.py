"""The progress of a training in a shell: a bar in a terminal, lines in a log file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from napari_seamless.cli.progress import say

if TYPE_CHECKING:
    from napari_seamless.training.from_files.events import TrainingEvent

SECONDS = 10.0
"""Between two lines of a log."""


class TrainingDisplay(Protocol):
    """Where the progress of a training is shown."""

    def show(self, event: TrainingEvent) -> None: ...


class TrainingLines:
    """A line for what matters, and every ten seconds one for a step: for a log file."""

    def __init__(self) -> None:
        self._last, self._loss = monotonic(), SmoothedLoss()

    def show(self, event: TrainingEvent) -> None:
        from napari_seamless.training.from_files.events import StepDone

        if isinstance(event, StepDone):
            loss = self._loss.add(event.loss)
            if monotonic() - self._last > SECONDS:
                self._last = monotonic()
                say(f"step {event.step} of {event.steps}, loss {loss:.4f}")
        elif (text := _describe(event)) is not None:
            say(text)


class TrainingBar:
    """A bar with loss and the time left, for a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task, self._loss = progress, task, SmoothedLoss()

    def show(self, event: TrainingEvent) -> None:
        from napari_seamless.training.from_files.events import ImagesChecked, StepDone, TrainingStarted

        match event:
            case ImagesChecked():
                self._update(completed=event.done, total=event.total, what="looking at images")
            case TrainingStarted():
                self._progress.reset(self._task, total=event.steps, completed=event.step, what="learning")
            case StepDone():
                loss = self._loss.add(event.loss)
                self._update(completed=event.step, total=event.steps, what=f"loss {loss:.4f}")
        if (text := _describe(event)) is not None:
            self._progress.console.print(text, highlight=False)

    def _update(self, **fields: Any) -> None:
        self._progress.update(self._task, **fields)


class SmoothedLoss:
    """A running mean of losses, which jump from step to step."""

    def __init__(self) -> None:
        self._mean: float | None = None

    def add(self, loss: float) -> float:
        self._mean = loss if self._mean is None else 0.95 * self._mean + 0.05 * loss
        return self._mean


def _describe(event: TrainingEvent) -> str | None:
    """The line for an event; None for most."""
    from napari_seamless.training.from_files.events import TrainingFinished, TrainingStarted, Validated

    match event:
        case TrainingStarted():
            how = f"going on after step {event.step}" if event.step else "beginning"
            notices = "".join(f"; notice: {notice}" for notice in event.notices)
            return (
                f"{how}: {event.learned} images to learn from, {event.held_out} held out, {event.steps} steps{notices}"
            )
        case Validated():
            metrics = event.metrics
            score = f"error {metrics.error:.4g}" if metrics.error is not None else f"mean Dice {metrics.score:.4f}"
            best = " (best so far)" if event.is_best else ""
            return f"step {event.step}, held out: loss {metrics.loss:.4f}, {score}{best}"
        case TrainingFinished():
            done = "nothing was left to do" if event.was_before else "finished"
            return f"{done}: {event.steps} steps; held out: {event.held_out}"
    return None


@contextmanager
def display_training() -> Iterator[TrainingDisplay]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield TrainingLines()
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[what]}"), TimeRemainingColumn(compact=True))
    with Progress(*columns, console=console) as progress:
        yield TrainingBar(progress, progress.add_task("", total=None, what=""))
