"""Run convolutional networks on images of any size, with the result of the whole image in memory.

>>> import napari_seamless as ns
>>> ns.Region.of((0, 512), (256, 768))
y[0, 512) x[256, 768)

Names are loaded when they are first used: importing this package loads neither torch, dask, zarr nor Qt.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

import napari_seamless.runtime.forked  # noqa: F401 - sees from now on whether this process is forked

if TYPE_CHECKING:
    from napari_seamless.errors import SeamlessError
    from napari_seamless.geometry import Region
    from napari_seamless.io.readers import open_image, open_sample
    from napari_seamless.io.readers.selection import select
    from napari_seamless.measurement.measure import measure
    from napari_seamless.measurement.measurements import Measurements
    from napari_seamless.measurement.objects.measure_objects import measure_objects
    from napari_seamless.models import Model
    from napari_seamless.models import describe as describe_model
    from napari_seamless.models import names as model_names
    from napari_seamless.models.add_model import add_model
    from napari_seamless.models.library import remove_model
    from napari_seamless.models.load import load_model
    from napari_seamless.models.loaders.recipe_folder import save_recipe
    from napari_seamless.models.trust import trust
    from napari_seamless.runs.config import RunConfig
    from napari_seamless.runs.explain import explain
    from napari_seamless.runs.explanation import Explanation
    from napari_seamless.runs.export import export
    from napari_seamless.runs.moments import Moments
    from napari_seamless.runs.objects.reading import objects_of
    from napari_seamless.runs.prepare import prepare
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runs.result import Report, Result
    from napari_seamless.runs.start import run, start
    from napari_seamless.runs.tile_choice import tile_for
    from napari_seamless.runs.tissue import tissue_mask
    from napari_seamless.store import open_store as open_result
    from napari_seamless.training.classify import classify
    from napari_seamless.training.from_files.train import train
    from napari_seamless.training.gradients.streamed_gradient import StreamedGradient
    from napari_seamless.training.teach.lesson import Lesson

__version__ = "0.1.0"

_HOMES = {
    "Explanation": "runs.explanation",
    "Lesson": "training.teach.lesson",
    "Measurements": "measurement.measurements",
    "Model": "models.model",
    "Moments": "runs.moments",
    "Prepared": "runs.prepared",
    "Region": "geometry",
    "Report": "runs.result",
    "Result": "runs.result",
    "RunConfig": "runs.config",
    "SeamlessError": "errors",
    "StreamedGradient": "training.gradients.streamed_gradient",
    "add_model": "models.add_model",
    "classify": "training.classify",
    "describe_model": "models:describe",
    "explain": "runs.explain",
    "export": "runs.export",
    "load_model": "models.load",
    "measure": "measurement.measure",
    "measure_objects": "measurement.objects.measure_objects",
    "model_names": "models:names",
    "objects_of": "runs.objects.reading",
    "open_image": "io.readers",
    "open_result": "store:open_store",
    "open_sample": "io.readers",
    "prepare": "runs.prepare",
    "remove_model": "models.library",
    "run": "runs.start",
    "save_recipe": "models.loaders.recipe_folder",
    "select": "io.readers.selection",
    "start": "runs.start",
    "tile_for": "runs.tile_choice",
    "tissue_mask": "runs.tissue",
    "train": "training.from_files.train",
    "trust": "models.trust",
}
"""The module of each public name, and its name there where that is another one."""

__all__ = [
    "Explanation",
    "Lesson",
    "Measurements",
    "Model",
    "Moments",
    "Prepared",
    "Region",
    "Report",
    "Result",
    "RunConfig",
    "SeamlessError",
    "StreamedGradient",
    "__version__",
    "add_model",
    "classify",
    "describe_model",
    "explain",
    "export",
    "load_model",
    "measure",
    "measure_objects",
    "model_names",
    "objects_of",
    "open_image",
    "open_result",
    "open_sample",
    "prepare",
    "remove_model",
    "run",
    "save_recipe",
    "select",
    "start",
    "tile_for",
    "tissue_mask",
    "train",
    "trust",
]


if not TYPE_CHECKING:  # a type checker would take it to know every name

    def __getattr__(name: str) -> object:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, _, attribute = _HOMES[name].partition(":")
        return getattr(import_module(f"{__name__}.{module}"), attribute or name)


def __dir__() -> list[str]:
    return sorted(__all__)
