"""The composition root: the only place where rooms meet.

    open_image --> prepare (trace) --> start / run --> Result

`models` and `sources` say what there is, `preparing` makes a program of both, `cutting` finds its tiles, `storing` a
place for the result, `running` starts it (on `workers` that wait for it), `result` hands it out, `explaining` says
what would happen.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_seamless.models import Model
    from napari_seamless.models import describe as describe_model
    from napari_seamless.models import names as model_names
    from napari_seamless.models.installed import architecture_names, parameters_of
    from napari_seamless.models.library import added_names as added_models
    from napari_seamless.models.recipe_folder import save_recipe
    from napari_seamless.models.training_file import example_training
    from napari_seamless.models.trust import distrust, trust, trusted
    from napari_seamless.pipeline.cards import Card, card_of
    from napari_seamless.pipeline.classifying import classify
    from napari_seamless.pipeline.costing import cost_of, memory_of
    from napari_seamless.pipeline.counting import label_outlines, measure
    from napari_seamless.pipeline.cutting import parse_budget, tile_for
    from napari_seamless.pipeline.explaining import Explanation, explain
    from napari_seamless.pipeline.finding import found_at
    from napari_seamless.pipeline.measurements import Measurements, check_table_path
    from napari_seamless.pipeline.moments import Moments
    from napari_seamless.pipeline.origin import Origin, origin_at, origin_of
    from napari_seamless.pipeline.owning import add_model, remove_model
    from napari_seamless.pipeline.planes import spatial_axes, with_image
    from napari_seamless.pipeline.preparing import Prepared, load_model, prepare
    from napari_seamless.pipeline.resolving import in_micrometres
    from napari_seamless.pipeline.result import Report, Result
    from napari_seamless.pipeline.running import run, start
    from napari_seamless.pipeline.saving import export
    from napari_seamless.pipeline.started import Run
    from napari_seamless.pipeline.teaching import Lesson
    from napari_seamless.pipeline.timing import Timing, time_tile
    from napari_seamless.pipeline.training import StreamedGradient
    from napari_seamless.pipeline.training_run import train
    from napari_seamless.pipeline.workers import start_workers
    from napari_seamless.sources import open_image, open_sample, tissue_mask
    from napari_seamless.sources.selecting import select
    from napari_seamless.store import open_store as open_result

__all__ = [
    "Card",
    "Explanation",
    "Lesson",
    "Measurements",
    "Model",
    "Moments",
    "Origin",
    "Prepared",
    "Report",
    "Result",
    "Run",
    "StreamedGradient",
    "Timing",
    "add_model",
    "added_models",
    "architecture_names",
    "card_of",
    "check_table_path",
    "classify",
    "cost_of",
    "describe_model",
    "distrust",
    "example_training",
    "explain",
    "export",
    "found_at",
    "in_micrometres",
    "label_outlines",
    "load_model",
    "measure",
    "memory_of",
    "model_names",
    "open_image",
    "open_result",
    "open_sample",
    "origin_at",
    "origin_of",
    "parameters_of",
    "parse_budget",
    "prepare",
    "remove_model",
    "run",
    "save_recipe",
    "select",
    "spatial_axes",
    "start",
    "start_workers",
    "tile_for",
    "time_tile",
    "tissue_mask",
    "train",
    "trust",
    "trusted",
    "with_image",
]

_ROOMS = {
    "classifying": ("classify",),
    "cards": ("Card", "card_of"),
    "costing": ("cost_of", "memory_of"),
    "counting": ("label_outlines", "measure"),
    "cutting": ("parse_budget", "tile_for"),
    "finding": ("found_at",),
    "explaining": ("Explanation", "explain"),
    "measurements": ("Measurements", "check_table_path"),
    "moments": ("Moments",),
    "origin": ("Origin", "origin_at", "origin_of"),
    "owning": ("add_model", "remove_model"),
    "planes": ("spatial_axes", "with_image"),
    "preparing": ("Prepared", "load_model", "prepare"),
    "resolving": ("in_micrometres",),
    "result": ("Report", "Result"),
    "running": ("run", "start"),
    "started": ("Run",),
    "saving": ("export",),
    "training_run": ("train",),
    "timing": ("Timing", "time_tile"),
    "teaching": ("Lesson",),
    "training": ("StreamedGradient",),
    "workers": ("start_workers",),
}
_HOMES = {
    "describe_model": ("napari_seamless.models", "describe"),
    "model_names": ("napari_seamless.models", "names"),
    "added_models": ("napari_seamless.models.library", "added_names"),
    "save_recipe": ("napari_seamless.models.recipe_folder", "save_recipe"),
    "architecture_names": ("napari_seamless.models.installed", "architecture_names"),
    "parameters_of": ("napari_seamless.models.installed", "parameters_of"),
    "select": ("napari_seamless.sources.selecting", "select"),
    "distrust": ("napari_seamless.models.trust", "distrust"),
    "example_training": ("napari_seamless.models.training_file", "example_training"),
    "trust": ("napari_seamless.models.trust", "trust"),
    "trusted": ("napari_seamless.models.trust", "trusted"),
    "Model": ("napari_seamless.models", "Model"),
    "open_image": ("napari_seamless.sources", "open_image"),
    "open_sample": ("napari_seamless.sources", "open_sample"),
    "open_result": ("napari_seamless.store", "open_store"),
    "tissue_mask": ("napari_seamless.sources", "tissue_mask"),
    **{name: (f"{__name__}.{room}", name) for room, names in _ROOMS.items() for name in names},
}
"""Where each name lives. It is imported when first used, so that asking for names of models does not load torch."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
