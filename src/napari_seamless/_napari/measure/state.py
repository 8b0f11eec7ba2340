"""What is measured, where, and how it stands. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.problems import Problem
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass

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
class Where:
    """WHOLE, VIEW, or the key of a shapes layer."""

    key: str = WHOLE


@dataclass(frozen=True)
class MeasureOrder:
    """What `pipeline.measure` is asked. `what` and `image` are safe to read from another thread.

    `axes` has a letter for each axis of the image, None where it says so itself, or nobody does.
    """

    what: Any
    image: Any = None
    axes: str | None = None
    region: Region | None = None
    within: Sequence[NDArray[np.float64]] | None = None
    classes: tuple[int, ...] | None = None
    boundary: int | None = None
    min_area: str = "0"
    names: tuple[LabelClass, ...] = ()


class Origin(Protocol):
    """As `pipeline.origin.Origin`."""

    @property
    def image(self) -> str: ...

    @property
    def plane(self) -> Mapping[str, int]: ...

    @property
    def scale(self) -> tuple[float, ...]: ...

    @property
    def offset(self) -> tuple[float, ...]: ...


@dataclass(frozen=True)
class Opened:
    """A result that was opened, and what it was made of."""

    result: Any
    origin: Origin


class ClassArea(Protocol):
    """As `pipeline.measurements.ClassArea`."""

    @property
    def value(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def colour(self) -> str | None: ...

    @property
    def pixels(self) -> int: ...

    @property
    def fraction(self) -> float: ...

    @property
    def mm(self) -> float | None: ...


class Measurements(Protocol):
    """As `pipeline.Measurements`."""

    @property
    def name(self) -> str: ...

    @property
    def areas(self) -> Sequence[ClassArea]: ...

    @property
    def objects(self) -> Mapping[str, NDArray[Any]]: ...

    @property
    def counted(self) -> Sequence[str]: ...

    @property
    def ndim(self) -> int: ...

    @property
    def area_column(self) -> str: ...

    @property
    def remarks(self) -> Sequence[Any]: ...

    def count(self, name: str | None = None) -> int: ...

    def density(self, name: str | None = None) -> float | None: ...

    def median(self, name: str | None = None) -> float | None: ...

    def sizes(self, name: str | None = None) -> NDArray[Any]: ...

    def histogram(
        self, name: str | None = None, bins: int = 30, until: float | None = None
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]: ...

    def save_csv(
        self, path: str | Path, what: Literal["objects", "areas"] | None = None, *, overwrite: bool = False
    ) -> Path: ...


@dataclass(frozen=True)
class MeasureSnapshot:
    """How measuring stands. `said` is the last thing that went well, as a sentence."""

    is_measuring: bool = False
    is_stopping: bool = False
    fraction: float = 0.0
    found: Measurements | None = None
    problem: Problem | None = None
    said: str = ""
