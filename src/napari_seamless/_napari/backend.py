"""The library as the docks call it: a fake can stand in for it, and nothing of it is imported before it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import napari_seamless as ns
from napari_seamless._napari.layers.warm_up import warm_labels
from napari_seamless.errors import NotTrusted
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, LabelClass, Source

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements
    from napari_seamless.models import Model
    from napari_seamless.models.architecture import Parameter
    from napari_seamless.runs.device_memory import DeviceMemory
    from napari_seamless.runs.existing_output import ExistingOutput
    from napari_seamless.runs.origin import Origin
    from napari_seamless.runs.polygons import Polygons
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.run import Run
    from napari_seamless.runs.tile_cost import TileCost
    from napari_seamless.runs.tile_timing import TileTiming
    from napari_seamless.runtime.executor.local_workers import LocalWorkers
    from napari_seamless.runtime.planning.budget import TileChoice
    from napari_seamless.store import Store
    from napari_seamless.training.teach.lesson import Lesson

HOMES = {
    "added_models": "models.library:added_names",
    "architecture_names": "models.architecture",
    "cost_of": "runs.tile_choice",
    "existing_output_at": "runs.existing_output",
    "in_micrometres": "runs.pixel_size",
    "label_outlines": "measurement.measure",
    "memory_of": "runs.device_memory",
    "origin_of": "runs.origin",
    "parameters_of": "models.architecture",
    "spatial_axes": "runs.planes",
    "time_tile": "runs.tile_timing",
    "with_image": "runs.planes",
}
"""Where those functions are that the package does not name itself, and their name there where it is another one."""


class Backend(Protocol):
    """What the docks call. Slow functions run in a background thread; they raise what the library's own do."""

    def open_image(
        self, what: Any, *, axes: str | None = None, scene: Any = None, plane: Mapping[str, int] | None = None
    ) -> Source: ...

    def select(
        self, source: Source, *, channels: Any = None, pixel_size: Any = None, notices: Sequence[str] = ()
    ) -> Source: ...

    def tissue_mask(self, image: Any) -> Any: ...

    def in_micrometres(self, info: ImageInfo) -> tuple[float, ...] | None: ...

    def load_model(
        self, what: Any, *, architecture: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Model: ...

    def add_model(
        self,
        path: str | Path,
        name: str | None = None,
        *,
        architecture: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        trust: bool = False,
    ) -> str: ...

    def trust(self, question: NotTrusted) -> None: ...

    def architecture_names(self) -> Sequence[str]: ...

    def parameters_of(self, architecture: str) -> Sequence[Parameter]: ...

    def model_names(self) -> Sequence[str]: ...

    def added_models(self) -> Sequence[str]: ...

    def describe_model(self, name: str) -> str: ...

    def prepare(
        self, model: Model, image: Any, *, cancelled: Callable[[], bool] | None = None, **options: Any
    ) -> Prepared: ...

    def spatial_axes(self, model: Model) -> int | None: ...

    def with_image(self, prepared: Prepared, image: Any) -> Prepared: ...

    def tile_for(
        self, prepared: Prepared, budget: int | None = None, device: str = "auto", precision: str = "float32"
    ) -> TileChoice: ...

    def time_tile(
        self, prepared: Prepared, tile: int, *, device: str = "auto", cancelled: Callable[[], bool] = lambda: False
    ) -> TileTiming: ...

    def cost_of(self, prepared: Prepared, tile: int) -> TileCost | None: ...

    def existing_output_at(self, path: Path, prepared: Prepared) -> ExistingOutput | None: ...

    def memory_of(self, device: str = "auto") -> DeviceMemory: ...

    def start_workers(self) -> LocalWorkers: ...

    def start(
        self,
        prepared: Prepared,
        *,
        view: Region | None = None,
        roi: Any = None,
        whole: bool = True,
        follow: bool = False,
        budget: int | None = None,
        tile: int | None = None,
        scheduler: Any = "dask",
        output: Path | None = None,
        preview: bool = False,
        **settings: Any,
    ) -> Run: ...

    def measure(self, what: Any, image: Any = None, **options: Any) -> Measurements: ...

    def label_outlines(self, rings: Any) -> Polygons: ...

    def open_result(self, path: str | Path) -> Store: ...

    def origin_of(self, result: Store) -> Origin: ...

    def Lesson(self, image: Any, classes: Sequence[LabelClass], *, network: str | None = None) -> Lesson: ...


class LazyLibrary:
    """Each function is imported in the background, when it is first called."""

    def __getattr__(self, name: str) -> Any:
        if name not in HOMES:
            return getattr(ns, name)
        module, _, attribute = HOMES[name].partition(":")
        return getattr(import_module(f"napari_seamless.{module}"), attribute or name)

    def prepare(self, *args: Any, **options: Any) -> Any:
        """Tracing takes seconds anyway: what a run needs (dask) is imported with it, not at the click on Run."""
        import_module("napari_seamless.runs.start")
        return import_module("napari_seamless.runs.prepare").prepare(*args, **options)

    def start_workers(self) -> Any:
        """A run needs a layer as soon as it needs workers: what the first one is slow to make is made with them."""
        warm_labels()
        return import_module("napari_seamless.runs.workers").start_workers()


def lazy_backend() -> Backend:
    """The library, of which nothing is loaded yet."""
    found: Any = LazyLibrary()
    library: Backend = found
    return library
