"""A model of a person's own, tried and added to the library under a name."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from napari_seamless.errors import InputNotFound, ModelError
from napari_seamless.models.library import copy_to_library
from napari_seamless.models.load import load_model
from napari_seamless.models.loaders.recipe_folder import save_recipe
from napari_seamless.models.model import Model

MOST_CHANNELS = 32
TRIED_EDGE = {2: 64, 3: 16}
"""Pixels along each axis of the images that a network's number of channels is tried with."""


def add_model(
    path: str | Path,
    name: str | None = None,
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> str:
    """Copy a model (a recipe folder, a package, a `.pt2` or TorchScript file) to the user's folder; give its name.

    Weights are kept with the `architecture` that they are of, as a recipe. The model is loaded first, so that what
    cannot be used is said now. `name` is by default the model's own. Raises what `load_model` raises, OutputExists
    where the name is taken, and OutputUnwritable.
    """
    source = Path(path)
    if not source.exists():
        raise InputNotFound(f"a model is added from a file or folder; there is none at {source}; check the path")
    model = load_model(source, architecture=architecture, arguments=arguments, trust=trust)
    chosen = model.name if name is None else name
    if architecture is None:
        copy_to_library(source, chosen)
        return chosen
    with tempfile.TemporaryDirectory(prefix="napari-seamless-") as scratch:
        folder = save_recipe(
            Path(scratch) / "recipe", model.module, _recipe_fields(model, chosen, architecture, arguments or {})
        )
        copied = copy_to_library(folder, chosen)
    load_model(copied, trust=True)  # an import path is the caller's own word, here as above
    return chosen


def _recipe_fields(model: Model, name: str, architecture: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The recipe of a network of which nothing is known but its code: pixel values go in and out as they are."""
    ndim, channels = _input_of(model.module, name)
    return {
        "name": name,
        "title": model.title,
        "network": {"architecture": architecture, "arguments": dict(arguments)},
        "input": {"channels": [f"channel {k + 1}" for k in range(channels)], "ndim": ndim},
        "output": {"kind": "image"},
    }


def _input_of(module: torch.nn.Module, name: str) -> tuple[int, int]:
    """(spatial dimensions, channels) of the one kind of image that a network takes, found by trying."""
    fits = [(ndim, c) for ndim in TRIED_EDGE for c in range(1, MOST_CHANNELS + 1) if _takes(module, ndim, c)]
    if len(fits) != 1:
        raise ModelError(
            f"a recipe says how many channels a network takes; {name} takes {len(fits) or 'none'} of the kinds of "
            "image that were tried; write its recipe by hand"
        )
    return fits[0]


def _takes(module: torch.nn.Module, ndim: int, channels: int) -> bool:
    try:
        with torch.inference_mode():
            module(torch.zeros(1, channels, *(TRIED_EDGE[ndim],) * ndim))
    except (RuntimeError, ValueError, TypeError, IndexError, AssertionError):
        return False
    return True
