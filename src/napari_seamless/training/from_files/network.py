"""The network that a training file names, with the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import InputNotFound, ModelError
from napari_seamless.models.architecture import build, is_listed, parameters_of
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.recipe_file import FILE, read_recipe
from napari_seamless.models.trust import require_trust
from napari_seamless.training.from_files.training_file import NetworkSection

TrustedContent = tuple[Path, bytes]
"""A file that names code to run, and what is in it."""
INPUTS = ("inputs", "in_channels", "in_chans")
OUTPUTS = ("outputs", "out_channels", "classes", "num_classes")
"""What arguments for channels are called in this package and in well-known ones."""
PLANES = "spatial_dims"


@dataclass(frozen=True)
class BuiltNetwork:
    """A network before its first step."""

    module: nn.Module
    architecture: str
    arguments: Mapping[str, Any]
    origin: str | None


def build_network(
    config: NetworkSection,
    base: Path,
    content: TrustedContent,
    *,
    default: str,
    inputs: int,
    outputs: int,
    ndim: int,
    seed: int,
    trust: bool,
) -> BuiltNetwork:
    """Build it; random weights come from `seed`. An import path needs trust in `content`.

    `default` is the architecture where none is named. Arguments for channels and dimensions that are not given are
    filled in. Raises UnknownModel, ModelError, WeightsMismatch, NotTrusted, InputNotFound.
    """
    start = None if config.start is None else base / config.start
    recipe = read_recipe(start / FILE) if start is not None and (start / FILE).is_file() else None
    architecture, arguments = config.architecture or default, dict(config.arguments)
    if recipe is not None and config.architecture is None:
        if recipe.network.architecture is None:
            raise ModelError(
                f"what is trained further must say how it is built; {start} names no architecture; name it in the "
                "training's network"
            )
        architecture = recipe.network.architecture
        arguments = {**recipe.network.arguments, **arguments}
    if not is_listed(architecture):
        require_trust(*content, f"the code of {architecture}, an import path in it", trust=trust)
    arguments = with_channels(architecture, arguments, inputs, outputs, ndim)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = build(architecture, arguments)
    if start is None:
        return BuiltNetwork(network, architecture, arguments, None)
    weights = start if recipe is None else start / recipe.network.weights
    if not weights.is_file():
        raise InputNotFound(
            f"weights to start from are a file, or a model folder; there is none at {weights}; check the path"
        )
    load_into(network, read_state(weights), f"the architecture {architecture}")
    return BuiltNetwork(network, architecture, arguments, start.name)


def with_channels(architecture: str, given: Mapping[str, Any], inputs: int, outputs: int, ndim: int) -> dict[str, Any]:
    """Arguments, with the numbers of channels where the code asks for some that are not given."""
    wanted = {one.name for one in parameters_of(architecture)}
    found = dict(given)
    for names, number in ((INPUTS, inputs), (OUTPUTS, outputs), ((PLANES,), ndim)):
        name = next((n for n in names if n in wanted), None)
        if name is not None and name not in found:
            found[name] = number
    return found
