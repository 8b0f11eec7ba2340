"""Measuring in the background, without Qt and without napari.

Every method is called from the GUI thread and returns at once. Classes are written into results one after the other, so
that the last word stays.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, is_open
from napari_seamless._napari.measure.state import MeasureRequest, MeasureSnapshot, OpenedResult
from napari_seamless._napari.problems import Problem, problem_of
from napari_seamless.errors import RunCancelled
from napari_seamless.interfaces import LabelClass, StopFlag

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements


class HasClasses(Protocol):
    """A result whose classes can be named anew. Any thread; slow."""

    def set_classes(self, classes: Sequence[LabelClass]) -> None: ...


class MeasureController:
    """What goes on at most once at a time: measuring, opening a result, saving a table."""

    def __init__(self, backend: Backend, jobs: BackgroundJobs, on_opened: Callable[[OpenedResult], object]) -> None:
        self._backend, self._jobs, self._on_opened = backend, jobs, on_opened
        self._measuring: BackgroundJob[Measurements] | None = None
        self._opening: BackgroundJob[OpenedResult] | None = None
        self._saving: BackgroundJob[Path] | None = None
        self._fraction = 0.0
        self._found: Measurements | None = None
        self._problem: Problem | None = None
        self._message = ""

    def measure(self, request: MeasureRequest) -> None:
        """Starts to measure, unless that goes on already."""
        if not is_open(self._measuring):
            self._problem, self._message, self._fraction = None, "", 0.0
            self._measuring = self._jobs.begin(lambda stop: self._measure(request, stop), self._take_found, self._fail)

    def cancel(self) -> None:
        if self._measuring is not None:
            self._measuring.stop()

    def forget(self) -> None:
        """What was found belongs to labels that are not chosen any more."""
        self.cancel()
        self._found, self._problem, self._message = None, None, ""

    def open(self, path: Path) -> None:
        """Opens a result; `on_opened` is called with it."""
        if not is_open(self._opening):
            self._problem, self._message = None, f"Opening {path.name}…"
            self._opening = self._jobs.begin(lambda _stop: self._open(path), self._take_opened, self._fail)

    def save_csv(self, path: Path) -> None:
        """Saves the table. The user was asked already whether what is there may be replaced."""
        found = self._found
        if found is not None and not is_open(self._saving):
            self._problem, self._message = None, f"Saving {path.name}…"
            self._saving = self._jobs.begin(
                lambda _stop: found.save_csv(path, overwrite=True), self._take_saved, self._fail
            )

    def save_classes(self, result: HasClasses, classes: Sequence[LabelClass], name: str) -> None:
        """Writes names and colours into a result, after those that were given before, even if the dock is closed."""
        kept = tuple(classes)

        def work(_stop: StopFlag) -> str:
            result.set_classes(kept)
            return f"Names and colours are saved in {name}."

        self._jobs.begin(work, self._show_message, self._fail, lane="classes", survives=True)

    def report(self, error: BaseException) -> None:
        """Shows an error that came up outside of the controller."""
        self._problem = problem_of(error)

    def poll(self) -> MeasureSnapshot:
        """How things stand."""
        is_measuring = is_open(self._measuring)
        return MeasureSnapshot(
            is_measuring=is_measuring,
            is_stopping=is_measuring and self._measuring is not None and self._measuring.is_stopping,
            fraction=self._fraction,
            found=self._found,
            problem=self._problem,
            message=self._message,
        )

    def _open(self, path: Path) -> OpenedResult:
        result = self._backend.open_result(path)
        return OpenedResult(result, self._backend.origin_of(result))

    def _measure(self, request: MeasureRequest, stop: StopFlag) -> Measurements:
        def show(done: int, total: int) -> None:
            self._fraction = done / total

        is_said = request.roi is None or isinstance(request.roi, str)
        return self._backend.measure(
            request.what,
            request.image if request.axes is None else self._backend.open_image(request.image, axes=request.axes),
            region=request.region,
            roi=request.roi if is_said else self._backend.label_outlines(request.roi),
            classes=request.classes,
            boundary=request.boundary,
            min_area=request.min_area,
            names=request.names,
            on_progress=show,
            cancelled=stop,
        )

    def _take_found(self, found: Measurements) -> None:
        if self._measuring is not None and not self._measuring.is_stopping:
            self._found = found

    def _take_opened(self, opened: OpenedResult) -> None:
        self._message = ""
        self._on_opened(opened)

    def _take_saved(self, path: Path) -> None:
        self._show_message(f"Saved {path}.")

    def _show_message(self, message: str) -> None:
        self._message = message

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, RunCancelled):
            self._problem, self._message = problem_of(error), ""
