"""Weights of a network that they do not name: those of a style network or of the nuclei network, told by their names.

So is a pickled module, which comes under the same suffixes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file

from napari_seamless.errors import NameArchitecture, WeightsMismatch
from napari_seamless.models.loaders.checkpoint import fitted
from napari_seamless.models.loaders.formats import WEIGHTS
from napari_seamless.models.loaders.state_dict import read_module
from napari_seamless.models.loaders.weight_matching import first_five
from napari_seamless.models.model import ANY_NDIM, Model
from napari_seamless.models.networks.nuclei import NucleiNetwork, nuclei_from
from napari_seamless.models.networks.style_transfer import StyleNetwork, is_style, style_from, without_unused


def matches(path: Path) -> bool:
    """Whether the name promises weights."""
    return path.is_file() and path.suffix.lower() in WEIGHTS.suffixes


def load(path: Path, *, trust: bool) -> Model:
    """The model, as `Loader.load` says; only a pickled module needs trust."""
    found = read_module(path, trust=trust)
    if isinstance(found, torch.nn.Module):
        return Model(path.stem, found, f"{type(found).__name__} of {path.name}", card={"ndim": ANY_NDIM})
    wanted = NucleiNetwork().state_dict()
    nuclei, notice = fitted(found, wanted)
    style, style_notice = fitted(found, StyleNetwork().state_dict())
    try:
        if is_style(without_unused(style)):
            title = f"The style of {path.name}"
            return _noticed(style_from(without_unused(style), name=path.stem, title=title), style_notice)
        if len(nuclei.keys() & wanted.keys()) > len(wanted) / 2:
            title = f"The nuclei network with the weights of {path.name}"
            return _noticed(nuclei_from(nuclei, name=path.stem, title=title), notice)
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(
            f"{path.name}: {mismatch.message}", remedies=(*mismatch.remedies, NameArchitecture())
        ) from None
    raise WeightsMismatch(
        f"weights do not say of which network they are; {path.name} has {len(found)} tensors "
        f"({first_five(list(found))}) of none that comes with this package",
        remedies=(NameArchitecture(),),
    )


def write_example(folder: Path) -> Path:
    """Random weights of the nuclei network."""
    save_file(NucleiNetwork().state_dict(), folder / "example.safetensors")
    return folder / "example.safetensors"


def _noticed(model: Model, notice: str) -> Model:
    return replace(model, notices=(notice,)) if notice else model
