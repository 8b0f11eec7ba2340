"""What the life of a run is made of: orders, what is ready, what is started, and how it all stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import Axes
from napari_seamless._napari.problems import Problem
from napari_seamless._napari.run.backend import DeviceMemory, Found, Prepared, Run, TileChoice, TileCost
from napari_seamless._napari.run.temporary_folder import TemporaryFolder
from napari_seamless._napari.run.verdict import Verdict
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Progress, Source

Phase = Literal[
    "empty", "preparing", "ready", "starting", "running", "paused", "following", "finished", "cancelled", "failed"
]
ENDED: frozenset[str] = frozenset(("finished", "cancelled", "failed"))


Plane = tuple[tuple[str, int], ...]
"""The letters of axes (t, z) with numbers; empty for the whole image."""


@dataclass(frozen=True)
class StackPlace:
    """A plane of a layer; all of it where `plane` is empty.

    `plane` pairs the letter of an axis (t, z) with a number. `axes` are those that a layer of the result has: beside
    its own, one step of each axis in `plane`, and every step of an axis of channels, which the result lies over
    whatever channel is shown.
    """

    plane: Plane = ()
    axes: Axes = ()

    @property
    def words(self) -> str:
        """For the name of a layer: "t 3, z 10"."""
        return ", ".join(f"{letter} {number}" for letter, number in self.plane)


@dataclass(frozen=True)
class ImageRef:
    """An image that can be opened (in a background thread), and a key that says whether it is still the same.

    `open` takes the number of spatial axes that a network wants (None: any will do), and a plane of a stack; where a
    plane is wanted and none is named, the first is given.
    """

    key: Hashable
    open: Callable[[int | None, Plane], Source]


@dataclass(frozen=True)
class Ready:
    """A network traced for an image."""

    prepared: Prepared
    image: ImageInfo

    @property
    def is_approximate(self) -> bool:
        return self.prepared.approximation is not None


@dataclass(frozen=True)
class Order:
    """What the user asked for by pressing Run. `view` is asked when the run starts, since tracing may still go on.

    `where` are polygons, each (n, 2) of (y, x) in level-0 pixels along the edges of pixels; None means everywhere.
    `settings` are further arguments of `pipeline.start`, of which the default is not wanted. `place` is asked then,
    too, with the number of spatial axes of what is run on.
    """

    view: Callable[[Prepared], Region | None]
    place: Callable[[int], StackPlace] = lambda _ndim: StackPlace()
    whole: bool = True
    output: Path | None = None
    where: Sequence[NDArray[np.float64]] | None = None
    settings: Mapping[str, Hashable] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Everything that the dock shows, at one moment.

    `first_look` is there while a preview is being made. `place` is the plane that the run is of; one that `follows`
    makes what is looked at.
    """

    phase: Phase = "empty"
    queued: bool = False
    image: ImageInfo | None = None
    prepared: Prepared | None = None
    choice: TileChoice | None = None
    tile: int = 0
    cost: TileCost | None = None
    memory: DeviceMemory | None = None
    in_work: tuple[Region, ...] = ()
    failed: tuple[Region, ...] = ()
    peak: int | None = None
    growth: int | None = None
    found: Found | None = None
    progress: Progress | None = None
    follows: bool = False
    place: StackPlace = StackPlace()
    problem: Problem | None = None
    models: tuple[tuple[str, str], ...] = ()
    exporting: bool = False
    exported: Path | None = None
    approximate: bool = False
    verdict: Verdict | None = None
    first_look: Progress | None = None

    @property
    def is_active(self) -> bool:
        return self.phase in ("starting", "running", "paused", "following")

    @property
    def waits(self) -> bool:
        """Whether a run is wished for, and will start when the network is ready."""
        return self.queued and self.phase == "preparing"

    @property
    def is_busy(self) -> bool:
        """Whether a run goes on, or will."""
        return self.is_active or self.waits


@dataclass(frozen=True)
class Started:
    """A run, what it runs, where its result is, and that temporary folder (None where the user gave a path).

    `key` is the same for runs that make the same pixels, and so may go on with each other's result. `place` is the
    plane that is run.
    """

    run: Run
    prepared: Prepared
    output: Path
    folder: TemporaryFolder | None
    key: Hashable = None
    place: StackPlace = StackPlace()
