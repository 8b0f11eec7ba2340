"""Weights of a network that they do not name: those of a style network or of the nuclei network, told by their names.

So is a pickled module, which comes under the same suffixes.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from napari_seamless.errors import NameArchitecture, WeightsMismatch
from napari_seamless.models.loaders.formats import WEIGHTS
from napari_seamless.models.loaders.state_dict import State, read_module
from napari_seamless.models.model import ANY_NDIM, Model
from napari_seamless.models.networks.nuclei import NucleiNetwork, nuclei_from
from napari_seamless.models.networks.style_transfer import is_style, style_from, without_unused


def matches(path: Path) -> bool:
    """Whether the name promises weights."""
    return path.is_file() and path.suffix.lower() in WEIGHTS.suffixes


def load(path: Path, *, trust: bool) -> Model:
    """The model, as `Loader.load` says; only a pickled module needs trust."""
    found = read_module(path, trust=trust)
    if isinstance(found, torch.nn.Module):
        return Model(path.stem, found, f"{type(found).__name__} of {path.name}", card={"ndim": ANY_NDIM})
    try:
        return _recognised(found, path)
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(
            f"{path.name}: {mismatch.message}", remedies=(*mismatch.remedies, NameArchitecture())
        ) from None


def write_example(folder: Path) -> Path:
    """Random weights of the nuclei network."""
    save_file(NucleiNetwork().state_dict(), folder / "example.safetensors")
    return folder / "example.safetensors"


def _recognised(state: State, path: Path) -> Model:
    if is_style(without_unused(state)):
        return style_from(state, name=path.stem, title=f"The style of {path.name}")
    return nuclei_from(state, name=path.stem, title=f"The nuclei network with the weights of {path.name}")
