"""A lesson in the background, without Qt and without napari.

Every method is called from the GUI thread and returns at once. One thread learns, and looks at the image between two
steps; `poll` collects what has come of it. Strokes and the view go the other way, and the newest ones count.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.background import Background, StopFlag, Task
from napari_seamless._napari.problems import Problem, problem_of
from napari_seamless._napari.teach.state import Looked, TeachSnapshot, Topic
from napari_seamless.errors import RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass

LOOK_SECONDS = 2.0
"""So long at least is learned between two looks at the image."""
KEPT = 2000


class Teaching(Protocol):
    """What is called of `napari_seamless.runs`."""

    def Lesson(self, image: Any, classes: Any, *, network: str | None = None) -> Any: ...


class TeachController:
    """Owns the lesson. At most one thing goes on at a time: learning, or keeping what was learned."""

    def __init__(self, pipeline: Teaching, look_seconds: float = LOOK_SECONDS) -> None:
        self._pipeline, self._look_seconds = pipeline, look_seconds
        self._background = Background(1)
        self._topic: Topic | None = None
        self._lesson: Any = None
        self._learning: Task[None] | None = None
        self._keeping: Task[Path] | None = None
        self._strokes: tuple[NDArray[np.uint8], int] | None = None
        self._view: Region | None = None
        self._losses: deque[tuple[int, float]] = deque(maxlen=KEPT)
        self._held_out: deque[tuple[int, float]] = deque(maxlen=KEPT)
        self._looked: Looked | None = None
        self._problem: Problem | None = None
        self._said = ""

    def teach(self, topic: Topic) -> None:
        """Learn, from where the lesson on this topic was stopped; another topic begins another lesson."""
        if self._learning is not None:
            return
        self._problem, self._said = None, ""
        if not topic.is_same(self._topic):
            self._lesson, self._looked = None, None
            self._losses.clear()
            self._held_out.clear()
        self._topic = topic
        self._learning = self._background.begin(self._learn)

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
            self._learning.stop.set()

    def keep(self, name: str, classes: tuple[LabelClass, ...]) -> None:
        """Save what was learned as a model of the user's, with the names and colours that classes have now."""
        lesson = self._lesson
        if lesson is None or self._learning is not None or self._keeping is not None:
            return
        self._problem, self._said = None, f"Saving {name}…"

        def work(_stop: StopFlag) -> Path:
            lesson.rename(classes)
            kept: Path = lesson.save(name)
            return kept

        self._keeping = self._background.begin(work)

    def report(self, error: BaseException) -> None:
        """Shows an error that came up outside of the controller."""
        self._problem = problem_of(error)

    def poll(self) -> TeachSnapshot:
        """Collects what the background has done, and says how things stand."""
        stops = self._learning is not None and self._learning.stop.is_set()
        if self._learning is not None and self._learning.is_done:
            self._fail(self._learning.outcome())
            self._learning = None
        if self._keeping is not None and self._keeping.is_done:
            kept = self._keeping.outcome()
            self._keeping = None
            if isinstance(kept, Path):
                self._said = f"Kept as {kept.name}: a model like any other, in the list of 'Run a network'."
            self._fail(kept)
        return TeachSnapshot(
            is_teaching=self._learning is not None,
            is_stopping=self._learning is not None and stops,
            has_lesson=bool(self._losses),
            losses=tuple(self._losses),
            held_out=tuple(self._held_out),
            looked=self._looked,
            problem=self._problem,
            said=self._said,
        )

    def close(self) -> None:
        """Stops everything. May be called twice."""
        self._background.close()

    def _fail(self, outcome: object) -> None:
        if isinstance(outcome, BaseException) and not isinstance(outcome, RunCancelled):
            self._problem, self._said = problem_of(outcome), ""

    def _learn(self, stop: StopFlag) -> None:
        """In the background: learn until told to stop, with a look at the image now and then, and one at the end."""
        topic = self._topic
        assert topic is not None
        if self._lesson is None:
            self._lesson = self._pipeline.Lesson(topic.image, topic.classes, network=topic.network)
        lesson = self._lesson
        lesson.rename(topic.classes)
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
            self._looked = Looked(region, lesson.preview(region, stop), lesson.step)
