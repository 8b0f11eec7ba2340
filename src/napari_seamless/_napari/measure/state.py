"""What is measured, where, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.problems import Problem
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements
    from napari_seamless.runs.origin import Origin
    from napari_seamless.store import Store

WHOLE, VIEW = "whole", "view"


@dataclass(frozen=True)
class ClassRow:
    """A class as the user sees it: whether it is shown, and whether its objects are counted."""

    value: int
    name: str
    colour: str
    is_shown: bool = True
    is_counted: bool = False

    @property
    def label(self) -> LabelClass:
        return LabelClass(self.value, self.name, self.colour)


@dataclass(frozen=True)
class MeasureRequest:
    """What `measure` is asked. `what` and `image` are safe to read from another thread.

    `roi` are outlines in pixels of the labels, or "computed" for all that was computed, also beyond what was asked of
    the run; None, without a `region`: what was asked. `axes` has a letter for each axis of the image, None where it
    says so itself, or nobody does.
    """

    what: Any
    image: Any = None
    axes: str | None = None
    region: Region | None = None
    roi: Sequence[NDArray[np.float64]] | str | None = None
    classes: tuple[int, ...] | None = None
    boundary: int | None = None
    min_area: str = "0"
    names: tuple[LabelClass, ...] = ()


@dataclass(frozen=True)
class OpenedResult:
    """A result that was opened, and what it was made of."""

    result: Store
    origin: Origin


@dataclass(frozen=True)
class MeasureSnapshot:
    """How measuring stands. `message` is the last thing that went well, as a sentence."""

    is_measuring: bool = False
    is_stopping: bool = False
    fraction: float = 0.0
    found: Measurements | None = None
    problem: Problem | None = None
    message: str = ""
