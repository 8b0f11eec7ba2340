"""Following a run in a shell: a bar, lines for a log, and what is said at its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn

from napari_seamless.errors import (
    BadRequest,
    ImageChanged,
    OutputUnwritable,
    RegionsFailed,
    RunCancelled,
    SeamlessError,
)

if TYPE_CHECKING:
    from napari_seamless import interfaces
    from napari_seamless.geometry import Region
    from napari_seamless.runs.run import Run

MOST_NAMED = 8


class Display(Protocol):
    """Where the progress of a run is shown."""

    def show(self, now: interfaces.Progress) -> None: ...

    def step(self, done: int, total: int) -> None: ...


class Bar:
    """A bar with throughput and the time left, for a terminal."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task

    def show(self, now: interfaces.Progress) -> None:
        rate = f"{now.rate / 1e6:.2f} MP/s{_busy(now)}" if now.rate else ""
        self.progress.update(self.task, completed=now.done, total=now.total, rate=rate, size=_amount(now))

    def step(self, done: int, total: int) -> None:
        self.progress.update(self.task, completed=done, total=total)


class Lines:
    """A line at every tenth of the way, but no more than one every ten seconds: for a log file."""

    def __init__(self) -> None:
        self.tenth, self.said = 0, monotonic()

    def show(self, now: interfaces.Progress) -> None:
        tenth = int(10 * now.fraction)
        if tenth > self.tenth and monotonic() - self.said > 10:
            left = "" if now.eta is None else f", {now.eta:.0f} s left"
            say(f"{_amount(now)}, {now.rate / 1e6:.2f} MP/s{_busy(now)}{left}")
            self.tenth, self.said = tenth, monotonic()

    def step(self, done: int, total: int) -> None:
        if monotonic() - self.said > 10:
            say(f"{100 * done // total} %")
            self.said = monotonic()


@contextmanager
def display() -> Iterator[Display]:
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
def busy(what: str) -> Iterator[None]:
    """Say what is being waited for, where somebody is looking."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(what):
        yield


def follow(handle: Run, output: Path) -> None:
    """Show a run until it ends; Ctrl-C cancels it. Raises what made it fail."""
    try:
        with display() as shown:
            while (now := handle.progress()).state in ("waiting", "running", "paused"):
                shown.show(now)
                sleep(0.1)
            shown.show(now)
        handle.wait()
    except KeyboardInterrupt:
        _cancel(handle)
        raise RunCancelled(f"stopped; {_kept(handle, output)}") from None
    except ImageChanged:
        raise  # what was made of it is not kept
    except SeamlessError:
        if handle.progress().done:
            say(_kept(handle, output))
        raise
    if now.failed:
        raise RegionsFailed(
            f"an image must be readable everywhere; {now.failed / 1e6:.2f} MP of the result were left out, since it "
            f"could not be read there: {_named(handle.result().report.failed)}; {_kept(handle, output)}, and tries "
            "these again; after the file was repaired or copied again, add --same-image"
        )
    if now.tiles == 0:
        say(f"nothing was left to do: all {now.done / 1e6:.2f} MP were finished before")
        return
    report = handle.result().report
    passes = "" if now.passes == 1 else f" in {now.passes} passes"
    rate = report.pixels / max(now.seconds, 1e-9) / 1e6
    say(f"{report.pixels / 1e6:.2f} MP in {now.seconds:.1f} s ({rate:.3g} MP/s), {now.tiles} tiles{passes}{_busy(now)}")
    say(f"memory: {report.memory}")
    if report.skipped:
        say(f"{100 * report.skipped:.0f} % of it left out, being no tissue")
    if report.left_out:
        say(f"{100 * report.left_out:.0f} % of the image lies elsewhere, and was not asked for")
    if report.objects is not None:
        say(str(report.objects))
    if report.self_check is not None:
        say(str(report.self_check))


def write_moments(handle: Run, path: Path) -> None:
    if handle.moments is None:
        raise BadRequest(
            "moments are measured of networks that look at the whole plane, in a run that is not finished yet; this "
            "one had nothing to measure; leave --save-moments out"
        )
    try:
        handle.moments.save(path)
    except OSError as error:
        raise OutputUnwritable(f"cannot write the moments to {path}: {error.strerror}") from error


def _cancel(handle: Run) -> None:
    """Cancel and wait until the tiles in flight have let go of the output."""
    handle.cancel()
    try:
        handle.wait()
    except RunCancelled:
        return


def _kept(handle: Run, output: Path) -> str:
    """What a run that ended early leaves."""
    journal = handle.store.side_folder
    if journal is not None and not journal.is_dir():
        return f"nothing of it is left: {output} was removed"
    now = handle.progress()
    if now.pass_number < now.passes:
        done = f"{now.pass_number - 1} of {now.passes} passes are"
    else:
        done = f"{handle.result().report.pixels / 1e6:.2f} MP are"
    if handle.store.replaces is not None:
        return f"{done} finished and kept beside {output}, which stays until all is there; the same command goes on"
    return f"{done} finished and kept in {output}; the same command goes on from there"


def _amount(now: interfaces.Progress) -> str:
    """How far a run is."""
    if now.passes > 1:
        return f"pass {now.pass_number} of {now.passes}"
    return f"{now.done / 1e6:.2f} of {now.total / 1e6:.2f} MP"


def _named(regions: Sequence[Region]) -> str:
    """Some regions in words, and how many more there are."""
    more = f" and {len(regions) - MOST_NAMED} more" if len(regions) > MOST_NAMED else ""
    return ", ".join(map(repr, regions[:MOST_NAMED])) + more


def _busy(now: interfaces.Progress) -> str:
    """The share of the time in which the device did not wait."""
    return "" if now.utilization is None else f", device busy {now.utilization:.0%}"


def say(text: str) -> None:
    typer.echo(text, err=True)
