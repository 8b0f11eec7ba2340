"""The real pipeline, imported when it is first used: that takes seconds (torch), and belongs in the background."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari_seamless._napari.port import Pipeline
from napari_seamless._napari.warming import warm_labels


class _Lazy:
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("napari_seamless.pipeline"), name)

    def prepare(self, *args: Any, **options: Any) -> Any:
        """Tracing takes seconds anyway: what a run needs (dask) is imported with it, not at the click on Run."""
        import_module("napari_seamless.pipeline.running")
        return import_module("napari_seamless.pipeline.preparing").prepare(*args, **options)

    def start_workers(self) -> Any:
        """A run needs a layer as soon as it needs workers: what the first one is slow to make is made with them."""
        warm_labels()
        return import_module("napari_seamless.pipeline.workers").start_workers()


def lazy_pipeline() -> Pipeline:
    """`napari_seamless.pipeline`, of which nothing is loaded yet."""
    found: Any = _Lazy()
    real: Pipeline = found
    return real
