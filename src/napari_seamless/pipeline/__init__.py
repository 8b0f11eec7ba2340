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
    from napari_seamless.models.recipe_folder import save_recipe
    from napari_seamless.models.trust import distrust, trust, trusted
    from napari_seamless.pipeline.cards import Card, card_of
    from napari_seamless.pipeline.cutting import parse_budget, tile_for
    from napari_seamless.pipeline.explaining import Explanation, explain
    from napari_seamless.pipeline.moments import Moments
    from napari_seamless.pipeline.owning import add_model, remove_model
    from napari_seamless.pipeline.preparing import Prepared, load_model, prepare
    from napari_seamless.pipeline.result import Report, Result
    from napari_seamless.pipeline.running import run, start
    from napari_seamless.pipeline.saving import export
    from napari_seamless.pipeline.started import Run
    from napari_seamless.pipeline.workers import start_workers
    from napari_seamless.sources import open_image, open_sample, tissue_mask

__all__ = [
    "Card",
    "Explanation",
    "Model",
    "Moments",
    "Prepared",
    "Report",
    "Result",
    "Run",
    "add_model",
    "card_of",
    "describe_model",
    "distrust",
    "explain",
    "export",
    "load_model",
    "model_names",
    "open_image",
    "open_sample",
    "parse_budget",
    "prepare",
    "remove_model",
    "run",
    "save_recipe",
    "start",
    "start_workers",
    "tile_for",
    "tissue_mask",
    "trust",
    "trusted",
]

_ROOMS = {
    "cards": ("Card", "card_of"),
    "cutting": ("parse_budget", "tile_for"),
    "explaining": ("Explanation", "explain"),
    "moments": ("Moments",),
    "owning": ("add_model", "remove_model"),
    "preparing": ("Prepared", "load_model", "prepare"),
    "result": ("Report", "Result"),
    "running": ("run", "start"),
    "started": ("Run",),
    "saving": ("export",),
    "workers": ("start_workers",),
}
_HOMES = {
    "describe_model": ("napari_seamless.models", "describe"),
    "model_names": ("napari_seamless.models", "names"),
    "save_recipe": ("napari_seamless.models.recipe_folder", "save_recipe"),
    "distrust": ("napari_seamless.models.trust", "distrust"),
    "trust": ("napari_seamless.models.trust", "trust"),
    "trusted": ("napari_seamless.models.trust", "trusted"),
    "Model": ("napari_seamless.models", "Model"),
    "open_image": ("napari_seamless.sources", "open_image"),
    "open_sample": ("napari_seamless.sources", "open_sample"),
    "tissue_mask": ("napari_seamless.sources", "tissue_mask"),
    **{name: (f"{__name__}.{room}", name) for room, names in _ROOMS.items() for name in names},
}
"""Where each name lives. It is imported when first used, so that asking for names of models does not load torch."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)
