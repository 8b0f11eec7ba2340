"""The real pipeline, imported when it is first used: that takes seconds (torch), and belongs in the background."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from napari.utils.colormaps import label_colormap

from napari_seamless._napari.port import Pipeline


class _Lazy:
    def __getattr__(self, name: str) -> Any:
        return getattr(import_module("napari_seamless.pipeline"), name)

    def prepare(self, *args: Any, **options: Any) -> Any:
        """Tracing takes seconds anyway: what a run needs (dask) is imported with it, not at the click on Run."""
        import_module("napari_seamless.pipeline.running")
        return import_module("napari_seamless.pipeline.preparing").prepare(*args, **options)

    def start_workers(self) -> Any:
        """napari's colours of labels import for a third of a second when they are first made: not at that click."""
        label_colormap()
        return import_module("napari_seamless.pipeline.workers").start_workers()


def lazy_pipeline() -> Pipeline:
    """`napari_seamless.pipeline`, of which nothing is loaded yet."""
    found: Any = _Lazy()
    real: Pipeline = found
    return real
