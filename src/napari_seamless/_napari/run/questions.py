"""What is asked of the pipeline beside a run, in the background. GUI thread."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from napari_seamless._napari.background import Background, Task
from napari_seamless._napari.run.backend import Backend, DeviceMemory, Found, Prepared, TileChoice, TileCost

MEMORY_SECONDS = 1.0


class Questions:
    """The latest answers: the tile that a budget allows, what a tile costs, the device's memory, what is at a path, and
    which models there are. Each is None (or empty) until it has come; `collect` takes those that have.
    """

    def __init__(self, pipeline: Backend, background: Background) -> None:
        self._pipeline, self._background = pipeline, background
        self.choice: TileChoice | None = None
        self.cost: TileCost | None = None
        self.memory: DeviceMemory | None = None
        self.found: Found | None = None
        self.models: tuple[tuple[str, str], ...] = ()
        self._choosing: Task[TileChoice] | None = None
        self._costing: Task[TileCost | None] | None = None
        self._remembering: Task[DeviceMemory] | None = None
        self._remembered = -inf
        self._finding: Task[Found | None] | None = None
        self._naming: Task[tuple[tuple[str, str], ...]] | None = background.begin(lambda _stop: _models(pipeline))

    @property
    def is_choosing(self) -> bool:
        """Whether the tile for a budget is still being looked for."""
        return self._choosing is not None

    def forget(self) -> None:
        """Drops what belongs to a network that is not wanted any more."""
        _cancel(self._choosing, self._costing)
        self._choosing = self._costing = self.choice = self.cost = None

    def choose_tile(self, prepared: Prepared, budget: int | None) -> None:
        """Asks for the tile that these bytes allow."""
        _cancel(self._choosing)
        self._choosing = self._background.begin(lambda _stop: self._pipeline.tile_for(prepared, budget))

    def weigh(self, prepared: Prepared, tile: int) -> None:
        """Asks what tiles of this edge cost, unless that is known."""
        if self.cost is None or self.cost.tile != tile:
            _cancel(self._costing)
            self._costing = self._background.begin(lambda _stop: self._pipeline.cost_of(prepared, tile))

    def look_at_memory(self) -> None:
        """Asks for the memory of the device, now and then."""
        if self._remembering is None and monotonic() - self._remembered > MEMORY_SECONDS:
            self._remembered = monotonic()
            self._remembering = self._background.begin(lambda _stop: self._pipeline.memory_of())

    def look_at(self, path: Path | None, prepared: Callable[[], Prepared] | None) -> None:
        """Asks what is at a path, for a network that is found in the background; drops the answer before."""
        _cancel(self._finding)
        self._finding = self.found = None
        if path is not None and prepared is not None:
            self._finding = self._background.begin(lambda _stop: self._pipeline.found_at(path, prepared()))

    def collect(self) -> list[BaseException]:
        """Takes the answers that have come. Gives the errors among them."""
        errors: list[BaseException] = []

        def taken(task: Task[Any] | None, before: Any, on_error: Any) -> tuple[Task[Any] | None, Any]:
            if task is None or not task.is_done:
                return task, before
            outcome = task.outcome()
            if isinstance(outcome, BaseException):
                errors.append(outcome)
                return None, on_error
            return None, outcome

        self._choosing, self.choice = taken(self._choosing, self.choice, None)
        self._costing, self.cost = taken(self._costing, self.cost, self.cost)
        self._finding, self.found = taken(self._finding, self.found, None)
        self._remembering, self.memory = taken(self._remembering, self.memory, self.memory)
        self._naming, self.models = taken(self._naming, self.models, ())
        return errors


def _cancel(*tasks: Task[Any] | None) -> None:
    for task in tasks:
        if task is not None:
            task.cancel()


def _models(pipeline: Backend) -> tuple[tuple[str, str], ...]:
    """Names and descriptions of the networks that come with the package."""
    return tuple((name, pipeline.describe_model(name)) for name in pipeline.model_names())
