"""What the life of a run is made of: requests, what is ready, what is started, and how it all stands. Pure."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import WHOLE, Plane, StackPlane
from napari_seamless._napari.problems import Problem
from napari_seamless._napari.run.temporary_folder import TemporaryFolder
from napari_seamless._napari.run.verdict import Verdict
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Progress, Source

if TYPE_CHECKING:
    from napari_seamless.runs.device_memory import DeviceMemory
    from napari_seamless.runs.existing_output import ExistingOutput
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.run import Run
    from napari_seamless.runs.tile_cost import TileCost
    from napari_seamless.runtime.planning.budget import TileChoice

Options = tuple[tuple[str, Hashable], ...]
"""Options of preparing, by name, of which the default is not wanted."""
Subject = tuple[Hashable, str, Options]
"""The key of an image, the name of a model, and how the two are prepared."""

Phase = Literal[
    "empty", "preparing", "ready", "starting", "running", "paused", "following", "finished", "cancelled", "failed"
]
ENDED: frozenset[str] = frozenset(("finished", "cancelled", "failed"))


@dataclass(frozen=True)
class ImageRef:
    """An image that can be opened (in a background thread), and a key that says whether it is still the same.

    `place` says where it lies: images that differ in nothing else have one key. `open` takes the number of spatial axes
    that a network wants (None: any will do), and a plane of a stack; where a plane is wanted and none is named, the
    first is given.
    """

    key: Hashable
    open: Callable[[int | None, Plane], Source]
    place: Callable[[], Hashable] = tuple


@dataclass(frozen=True)
class Ready:
    """A network traced for an image, what should be known about the two, and where the image lay then."""

    prepared: Prepared
    image: ImageInfo
    notices: tuple[str, ...] = ()
    place: Hashable = ()

    @property
    def is_approximate(self) -> bool:
        return not self.prepared.exact


@dataclass(frozen=True)
class RunRequest:
    """What the user asked for by pressing Run. `view` is asked when the run starts, since tracing may still go on.

    `roi` are polygons, each (n, 2) of (y, x) in level-0 pixels along the edges of pixels, GeoJSON, a file of it, or the
    word "tissue"; None means everywhere. `settings` are further options of a run, of which the default is not wanted.
    `plane` is asked then, too, with the number of spatial axes of what is run on.
    """

    view: Callable[[Prepared], Region | None]
    plane: Callable[[int], StackPlane] = lambda _ndim: StackPlane()
    whole: bool = True
    output: Path | None = None
    roi: Sequence[NDArray[np.float64]] | Mapping[str, object] | Path | str | None = None
    settings: Mapping[str, Hashable] = field(default_factory=dict)


@dataclass(frozen=True)
class Snapshot:
    """Everything that the dock shows, at one moment.

    `notices` are of image and network, and of the run that is shown, or the result that is there already; `first_look`
    is there while a preview is being made. `plane` is the one that the run is of; one that `follows`
    makes what is looked at. `objects` says how many of them the run has made; "" where it makes none.
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
    found: ExistingOutput | None = None
    progress: Progress | None = None
    objects: str = ""
    follows: bool = False
    plane: StackPlane = WHOLE
    problem: Problem | None = None
    models: tuple[tuple[str, str], ...] = ()
    exporting: bool = False
    exported: Path | None = None
    approximate: bool = False
    verdict: Verdict | None = None
    first_look: Progress | None = None
    notices: tuple[str, ...] = ()

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

    `key` is the same for runs that make the same pixels, and so may go on with each other's result. `plane` is the
    one that is run.
    """

    run: Run
    prepared: Prepared
    output: Path
    folder: TemporaryFolder | None
    key: Hashable = None
    plane: StackPlane = WHOLE
