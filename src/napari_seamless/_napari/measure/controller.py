"""Measuring in the background, without Qt and without napari.

Every method is called from the GUI thread and returns at once. Work is done by two threads: one measures, opens and
saves tables, the other one writes classes into results, one after the other, so that the last word stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from napari_seamless._napari.background import Background, StopFlag, Task
from napari_seamless._napari.measure.state import Measurements, MeasureOrder, MeasureSnapshot, Opened
from napari_seamless._napari.problems import Problem, problem_of
from napari_seamless.errors import RunCancelled
from napari_seamless.interfaces import LabelClass


class Measuring(Protocol):
    """The functions of `napari_seamless.runs` that are called here."""

    def measure(self, what: Any, image: Any = None, **options: Any) -> Any: ...

    def open_image(self, what: Any, *, axes: str | None = None) -> Any: ...

    def label_outlines(self, rings: Any) -> Any: ...

    def open_result(self, path: str | Path) -> Any: ...

    def origin_of(self, result: Any) -> Any: ...


class HasClasses(Protocol):
    """A result whose classes can be named anew. Any thread; slow."""

    def set_classes(self, classes: Sequence[LabelClass]) -> None: ...


class MeasureController:
    """What goes on at most once at a time: measuring, opening a result, saving a table."""

    def __init__(self, pipeline: Measuring) -> None:
        self._pipeline = pipeline
        self._background, self._writing = Background(2), Background(1)
        self._measuring: Task[Measurements] | None = None
        self._opening: Task[Opened] | None = None
        self._saving: Task[Path] | None = None
        self._naming: list[Task[str]] = []
        self._fraction = 0.0
        self._found: Measurements | None = None
        self._problem: Problem | None = None
        self._said = ""

    def measure(self, order: MeasureOrder) -> None:
        """Starts to measure, unless that goes on already."""
        if self._measuring is None:
            self._problem, self._said, self._fraction = None, "", 0.0
            self._measuring = self._background.begin(lambda stop: self._measure(order, stop))

    def cancel(self) -> None:
        if self._measuring is not None:
            self._measuring.stop.set()

    def forget(self) -> None:
        """What was found belongs to labels that are not chosen any more."""
        self.cancel()
        self._found, self._problem, self._said = None, None, ""

    def open(self, path: Path) -> None:
        """Opens a result; `take_opened` gives it."""
        if self._opening is None:
            self._problem, self._said = None, f"Opening {path.name}…"
            self._opening = self._background.begin(lambda _stop: self._open(path))

    def take_opened(self) -> Opened | None:
        """The result that was opened, once."""
        self._opening, opened = _finished(self._opening)
        if opened is not None and not self._is_failure(opened):
            self._said = ""
        return opened if isinstance(opened, Opened) else None

    def save_csv(self, path: Path) -> None:
        """Saves the table. The user was asked already whether what is there may be replaced."""
        found = self._found
        if found is not None and self._saving is None:
            self._problem, self._said = None, f"Saving {path.name}…"
            self._saving = self._background.begin(lambda _stop: found.save_csv(path, overwrite=True))

    def save_classes(self, result: HasClasses, classes: Sequence[LabelClass], name: str) -> None:
        """Writes names and colours into a result, after those that were given before."""
        kept = tuple(classes)

        def work(_stop: StopFlag) -> str:
            result.set_classes(kept)
            return f"Names and colours are saved in {name}."

        self._naming.append(self._writing.begin(work))

    def report(self, error: BaseException) -> None:
        """Shows an error that came up outside of the controller."""
        self._problem = problem_of(error)

    def poll(self) -> MeasureSnapshot:
        """Collects what the background has finished, and says how things stand."""
        stops = self._measuring is not None and self._measuring.stop.is_set()
        self._measuring, found = _finished(self._measuring)
        if found is not None and not self._is_failure(found) and not stops:
            self._found = found
        self._saving, saved = _finished(self._saving)
        if saved is not None and not self._is_failure(saved):
            self._said = f"Saved {saved}."
        while self._naming and self._naming[0].is_done:
            named = self._naming.pop(0).outcome()
            if not self._is_failure(named):
                self._said = str(named)
        return MeasureSnapshot(
            is_measuring=self._measuring is not None,
            is_stopping=self._measuring is not None and stops,
            fraction=self._fraction,
            found=self._found,
            problem=self._problem,
            said=self._said,
        )

    def close(self) -> None:
        """Stops everything but the writing of classes, which are the user's own words. May be called twice."""
        self._background.close()
        self._writing.finish()

    def _open(self, path: Path) -> Opened:
        result = self._pipeline.open_result(path)
        return Opened(result, self._pipeline.origin_of(result))

    def _measure(self, order: MeasureOrder, stop: StopFlag) -> Any:
        def show(done: int, total: int) -> None:
            self._fraction = done / total

        return self._pipeline.measure(
            order.what,
            order.image if order.axes is None else self._pipeline.open_image(order.image, axes=order.axes),
            region=order.region,
            within=None if order.within is None else self._pipeline.label_outlines(order.within),
            classes=order.classes,
            boundary=order.boundary,
            min_area=order.min_area,
            names=order.names,
            on_progress=show,
            cancelled=stop,
        )

    def _is_failure(self, outcome: object) -> bool:
        if isinstance(outcome, BaseException):
            if not isinstance(outcome, RunCancelled):
                self._problem, self._said = problem_of(outcome), ""
            return True
        return False


def _finished(task: Task[Any] | None) -> tuple[Task[Any] | None, Any]:
    """(the task while it still runs, its outcome once it is done)."""
    if task is None or not task.is_done:
        return task, None
    return None, task.outcome()
