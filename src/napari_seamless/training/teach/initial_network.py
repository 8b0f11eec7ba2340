"""The network that a lesson begins with: a small new one, or a model of a person's own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from napari_seamless.errors import InputMismatch, ModelError, UnknownModel
from napari_seamless.geometry import Region
from napari_seamless.interfaces import ImageInfo, Source
from napari_seamless.models.architecture import build, is_listed
from napari_seamless.models.library import added_path
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.recipe_file import FILE, AsIs, Range, Scaling, Standard, read_recipe

ARCHITECTURE = "filtered-unet"
"""Of use after seconds on a CPU."""
MEASURED = 1 << 24
"""Values from which mean and deviation of an image are taken."""


@dataclass(frozen=True)
class InitialNetwork:
    """A network that gives a channel of scores for each class, how it is built, and what is done to pixels before."""

    network: nn.Module
    architecture: str
    arguments: Mapping[str, Any]
    scaling: Scaling
    is_fresh: bool


def new_network(source: Source, classes: int, seed: int) -> InitialNetwork:
    """A small network with random weights; values are scaled by mean and deviation of each channel of this image."""
    arguments = {"inputs": source.info.channels, "outputs": classes}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(ARCHITECTURE, arguments)
    mean, std = _measured(source)
    scaling = Standard(kind="mean-std", mean=mean, std=std)
    return InitialNetwork(network, ARCHITECTURE, arguments, scaling, is_fresh=True)


def from_model(what: str | Path, info: ImageInfo, classes: int) -> InitialNetwork:
    """A model that was added (by its name) or a recipe folder, to go on with.

    Raises UnknownModel, ModelError or InputMismatch where it cannot be taught on this image and these classes.
    """
    folder = (added_path(what) if isinstance(what, str) else None) or Path(what)
    if folder is None or not (folder / FILE).is_file():
        raise UnknownModel(
            f"a lesson goes on with a model of yours, by its name or recipe folder; there is none at '{what}'; see "
            "'models list'"
        )
    recipe = read_recipe(folder / FILE)
    architecture, arguments = recipe.network.architecture, recipe.network.arguments
    if architecture is None or not is_listed(architecture):
        raise ModelError(
            f"a network that is taught is built by a name from the table; '{recipe.name}' has "
            f"{architecture or 'none'}; choose another, or begin with a new one"
        )
    if not isinstance(recipe.input.scaling, AsIs | Range | Standard) or recipe.resolution is not None:
        raise ModelError(
            "a network is taught in places, so its scaling is by fixed numbers, at the image's own pixel size; that of "
            f"'{recipe.name}' is not; begin with a new one"
        )
    if len(recipe.output.classes) != classes or len(recipe.input.channels) != info.channels:
        raise InputMismatch(
            f"a model that is taught further has as many classes and channels; '{recipe.name}' has "
            f"{len(recipe.output.classes)} and {len(recipe.input.channels)}, the lesson {classes} and '{info.name}' "
            f"{info.channels}; choose another, or begin with a new one"
        )
    network = build(architecture, arguments)
    load_into(network, read_state(folder / recipe.network.weights), recipe.name)
    return InitialNetwork(network, architecture, arguments, recipe.input.scaling, is_fresh=False)


def _measured(source: Source) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, of the finest level that is small enough, or of its middle."""
    levels, channels = source.info.levels, source.info.channels
    fits = [k for k, shape in enumerate(levels.shapes) if prod(shape) * channels <= MEASURED]
    level = fits[0] if fits else len(levels) - 1
    edge = int((MEASURED / channels) ** 0.5)
    middle = Region.of(
        *((0, n) if fits else ((n - min(n, edge)) // 2, (n + min(n, edge)) // 2) for n in levels.shape(level))
    )
    pixels = source.read(middle, level).astype(np.float64)
    over = tuple(range(1, pixels.ndim))
    return tuple(pixels.mean(over).tolist()), tuple(np.maximum(pixels.std(over), 1e-6).tolist())
