"""What a lesson is asked for, and how it stands. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.problems import Problem
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass

COLOURS = ("#4363d8", "#ffe119", "#1fd160", "#e6194b", "#f58231", "#911eb4", "#46f0f0", "#f032e6")


@dataclass(frozen=True)
class LessonSetup:
    """What a lesson is about. `key` is the image's, and `image` is safe to read from another thread."""

    key: str
    image: Any = field(compare=False)
    classes: tuple[LabelClass, ...]
    network: str | None = None

    def is_same(self, other: LessonSetup | None) -> bool:
        """Whether it is the same lesson: names and colours may be others, labels not."""
        return other is not None and self._subject == other._subject

    @property
    def _subject(self) -> tuple[Any, ...]:
        return (self.key, self.network, tuple(c.value for c in self.classes))


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the network made of a region: labels (y, x), after so many steps. Every one is another."""

    region: Region
    labels: NDArray[np.uint8]
    step: int


@dataclass(frozen=True)
class TeachSnapshot:
    """How a lesson stands. `losses` are (step, loss), `held_out` (step, share of held-out pixels that is right)."""

    is_teaching: bool = False
    is_stopping: bool = False
    has_lesson: bool = False
    losses: tuple[tuple[int, float], ...] = ()
    held_out: tuple[tuple[int, float], ...] = ()
    prediction: Prediction | None = None
    problem: Problem | None = None
    message: str = ""

    @property
    def step(self) -> int:
        return self.losses[-1][0] if self.losses else 0


def new_class(classes: tuple[LabelClass, ...]) -> LabelClass:
    """One more class, with the first label and colour that are free."""
    value = next(v for v in range(1, 256) if v not in {c.value for c in classes})
    free = [colour for colour in COLOURS if colour not in {c.colour for c in classes}]
    return LabelClass(value, f"class {value}", (free or COLOURS)[0])
