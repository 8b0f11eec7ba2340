"""What is looked up beside a run, in the background. GUI thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs, is_open

if TYPE_CHECKING:
    from napari_seamless.runs.device_memory import DeviceMemory
    from napari_seamless.runs.existing_output import ExistingOutput
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.tile_cost import TileCost
    from napari_seamless.runtime.planning.budget import TileChoice

MEMORY_SECONDS = 1.0


@dataclass(frozen=True)
class LookupHandlers:
    """Called when the tile for a budget has been found, and with every error."""

    tile_chosen: Callable[[], object]
    failed: Callable[[BaseException], object]


class Lookups:
    """The latest answers: the tile that a budget allows, what a tile costs, the device's memory, what is at a path, and
    which models there are. Each is None (or empty) until it has come.
    """

    def __init__(self, backend: Backend, jobs: BackgroundJobs, handlers: LookupHandlers) -> None:
        self._backend, self._jobs, self._handlers = backend, jobs, handlers
        self.choice: TileChoice | None = None
        self.cost: TileCost | None = None
        self.memory: DeviceMemory | None = None
        self.found: ExistingOutput | None = None
        self.models: tuple[tuple[str, str], ...] = ()
        self._choosing: BackgroundJob[TileChoice] | None = None
        self._costing: BackgroundJob[TileCost | None] | None = None
        self._asking_memory: BackgroundJob[DeviceMemory] | None = None
        self._asked_memory = -inf
        self._finding: BackgroundJob[ExistingOutput | None] | None = None
        jobs.begin(lambda _stop: _models(backend), self._take_models, handlers.failed)

    @property
    def is_choosing(self) -> bool:
        """Whether the tile for a budget is still being looked for."""
        return is_open(self._choosing)

    def forget(self) -> None:
        """Drops what belongs to a network that is not wanted any more."""
        _cancel(self._choosing, self._costing)
        self.choice = self.cost = None

    def choose_tile(self, prepared: Prepared, budget: int | None, place: Mapping[str, str]) -> None:
        """Asks for the tile that these bytes allow, on the device and in the precision of that `place`."""
        _cancel(self._choosing)
        self._choosing = self._jobs.begin(
            lambda _stop: self._backend.tile_for(prepared, budget, **place), self._take_choice, self._no_choice
        )

    def weigh(self, prepared: Prepared, tile: int) -> None:
        """Asks what tiles of this edge cost, unless that is known."""
        if self.cost is None or self.cost.tile != tile:
            _cancel(self._costing)
            self._costing = self._jobs.begin(
                lambda _stop: self._backend.cost_of(prepared, tile), self._take_cost, self._handlers.failed
            )

    def look_at_memory(self, device: str) -> None:
        """Asks for the memory of the device, now and then; that there is no such device is told elsewhere."""
        if not is_open(self._asking_memory) and monotonic() - self._asked_memory > MEMORY_SECONDS:
            self._asked_memory = monotonic()
            self._asking_memory = self._jobs.begin(
                lambda _stop: self._backend.memory_of(device), self._take_memory, self._no_memory
            )

    def look_at(self, path: Path | None, prepared: Callable[[], Prepared] | None) -> None:
        """Asks what is at a path, for a network that is found in the background; drops the answer before."""
        _cancel(self._finding)
        self.found = None
        if path is not None and prepared is not None:
            self._finding = self._jobs.begin(
                lambda _stop: self._backend.existing_output_at(path, prepared()),
                self._take_found,
                self._handlers.failed,
            )

    def _take_choice(self, choice: TileChoice) -> None:
        self.choice = choice
        self._handlers.tile_chosen()

    def _no_choice(self, error: BaseException) -> None:
        self.choice = None
        self._handlers.failed(error)

    def _take_cost(self, cost: TileCost | None) -> None:
        self.cost = cost

    def _take_memory(self, memory: DeviceMemory) -> None:
        self.memory = memory

    def _no_memory(self, _error: BaseException) -> None:
        self.memory = None

    def _take_found(self, found: ExistingOutput | None) -> None:
        self.found = found

    def _take_models(self, models: tuple[tuple[str, str], ...]) -> None:
        self.models = models


def _cancel(
    *jobs: BackgroundJob[TileChoice] | BackgroundJob[TileCost | None] | BackgroundJob[ExistingOutput | None] | None,
) -> None:
    for job in jobs:
        if job is not None:
            job.cancel()


def _models(backend: Backend) -> tuple[tuple[str, str], ...]:
    """Names and descriptions of the networks that come with the package."""
    return tuple((name, backend.describe_model(name)) for name in backend.model_names())
