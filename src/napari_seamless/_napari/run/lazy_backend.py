"""The library as the docks call it: each function is imported in the background, when it is first called."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import napari_seamless as ns
from napari_seamless._napari.layers.warm_up import warm_labels
from napari_seamless._napari.run.backend import Backend

_HOMES = {
    "added_models": "models.library:added_names",
    "architecture_names": "models.architectures_installed",
    "cost_of": "runs.tile_cost",
    "found_at": "runs.existing_output",
    "in_micrometres": "runs.pixel_size",
    "label_outlines": "measurement.measure",
    "memory_of": "runs.tile_cost",
    "origin_of": "runs.origin",
    "parameters_of": "models.architectures_installed",
    "spatial_axes": "runs.planes",
    "time_tile": "runs.tile_timing",
    "with_image": "runs.planes",
}


class _Lazy:
    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            return getattr(ns, name)
        module, _, attribute = _HOMES[name].partition(":")
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
    found: Any = _Lazy()
    real: Backend = found
    return real
