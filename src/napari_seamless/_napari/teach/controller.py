"""A lesson in the background, without Qt and without napari.

Every method is called from the GUI thread and returns at once. One thread learns, and looks at the image between two
steps; `poll` says how it stands. Strokes and the view go the other way, and the newest ones count.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, is_open
from napari_seamless._napari.problems import Problem, problem_of
from napari_seamless._napari.teach.state import LessonSetup, Prediction, TeachSnapshot
from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass, StopFlag

LOOK_SECONDS = 2.0
"""So long at least is learned between two looks at the image."""
KEPT = 2000
LANE = "lesson"
"""Learning and keeping go on one after the other."""


class TeachController:
    """Owns the lesson. At most one thing goes on at a time: learning, or keeping what was learned."""

    def __init__(self, backend: Backend, jobs: BackgroundJobs, look_seconds: float = LOOK_SECONDS) -> None:
        self._backend, self._jobs, self._look_seconds = backend, jobs, look_seconds
        self._setup: LessonSetup | None = None
        self._lesson: Any = None
        self._learning: BackgroundJob[None] | None = None
        self._keeping: BackgroundJob[Path] | None = None
        self._strokes: tuple[NDArray[np.uint8], int] | None = None
        self._view: Region | None = None
        self._losses: deque[tuple[int, float]] = deque(maxlen=KEPT)
        self._held_out: deque[tuple[int, float]] = deque(maxlen=KEPT)
        self._prediction: Prediction | None = None
        self._problem: Problem | None = None
        self._message = ""

    def teach(self, setup: LessonSetup) -> None:
        """Learn, from where the lesson on this setup was stopped; another setup begins another lesson."""
        if is_open(self._learning):
            return
        self._problem, self._message = None, ""
        if not setup.is_same(self._setup):
            self._lesson, self._prediction = None, None
            self._losses.clear()
            self._held_out.clear()
        self._setup = setup
        self._learning = self._jobs.begin(self._learn, failed=self._fail, lane=LANE)

    def paint(self, labels: NDArray[np.uint8], step: int) -> None:
        """Strokes to learn from, from the next step on. The array is not changed any more."""
        self._strokes = (labels, step)
        lesson = self._lesson
        if lesson is not None:
            lesson.paint(labels, step)

    def watch(self, view: Region | None) -> None:
        """The region of the image that is looked at; None where it is not on screen."""
        self._view = view

    def stop(self) -> None:
        if self._learning is not None:
            self._learning.stop()

    def keep(self, name: str, classes: tuple[LabelClass, ...]) -> None:
        """Save what was learned as a model of the user's, with the names and colours that classes have now."""
        lesson = self._lesson
        if lesson is None or is_open(self._learning) or is_open(self._keeping):
            return
        self._problem, self._message = None, f"Saving {name}…"

        def work(_stop: StopFlag) -> Path:
            lesson.rename(classes)
            kept: Path = lesson.save(name)
            return kept

        self._keeping = self._jobs.begin(work, self._take_kept, self._fail, lane=LANE)

    def report(self, error: BaseException) -> None:
        """Shows an error that came up outside of the controller."""
        self._problem = problem_of(error)

    def poll(self) -> TeachSnapshot:
        """How things stand."""
        is_teaching = is_open(self._learning)
        return TeachSnapshot(
            is_teaching=is_teaching,
            is_stopping=is_teaching and self._learning is not None and self._learning.is_stopping,
            has_lesson=bool(self._losses),
            losses=tuple(self._losses),
            held_out=tuple(self._held_out),
            prediction=self._prediction,
            problem=self._problem,
            message=self._message,
        )

    def _take_kept(self, kept: Path) -> None:
        self._message = f"Kept as {kept.name}: a model like any other, in the list of 'Run a network'."

    def _fail(self, error: BaseException) -> None:
        if not isinstance(error, RunCancelled):
            self._problem, self._message = problem_of(error), ""

    def _learn(self, stop: StopFlag) -> None:
        """In the background: learn until told to stop, with a look at the image now and then, and one at the end."""
        setup = self._setup
        assert setup is not None
        if self._lesson is None:
            self._lesson = self._backend.Lesson(setup.image, setup.classes, network=setup.network)
        lesson = self._lesson
        lesson.rename(setup.classes)
        if self._strokes is not None:
            lesson.paint(*self._strokes)
        looked = monotonic()
        for event in lesson.learn(stop):
            self._note(event)
            if monotonic() - looked >= self._look_seconds and not stop():
                self._look(lesson, stop)
                looked = monotonic()

    def _note(self, event: Any) -> None:
        """Events are told apart by what they carry."""
        if hasattr(event, "loss"):
            self._losses.append((event.step, float(event.loss)))
        elif hasattr(event, "metrics") and event.metrics.accuracy is not None:
            self._held_out.append((event.step, float(event.metrics.accuracy)))

    def _look(self, lesson: Any, stop: StopFlag) -> None:
        region = self._view
        if region is not None:
            self._prediction = Prediction(region, lesson.preview(region, stop), lesson.step)
