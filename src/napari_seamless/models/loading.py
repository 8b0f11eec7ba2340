"""From what a user has (a name, a file of weights, a module) to a `Model`."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from napari_seamless.errors import InputNotFound, ModelError, WeightsMismatch
from napari_seamless.models.bundled import WEIGHT_SUFFIXES, unknown
from napari_seamless.models.nuclei import bundled_nuclei, nuclei_from
from napari_seamless.models.recipe import Model
from napari_seamless.models.stain import bundled_stain
from napari_seamless.models.style import is_style, style_from, without_stale

_BUILDERS: Mapping[str, Callable[[], Model]] = {
    "nuclei": bundled_nuclei,
    "stain": bundled_stain,
}
PARALLEL = "module."
"""What torch's DataParallel puts before every name."""


def load_model(model: str | Path | torch.nn.Module | Model) -> Model:
    """The model that is meant by a name, by a file of weights or by a module.

    A `Model` is given back as it is. A module is put into eval mode, not copied, and taken
    for a 2-D network that makes an image. A file (`.safetensors`, `.pt`, `.pth`) must hold a
    state dict of a style network or of the nuclei network, which its names tell apart; nothing
    else that a pickle may hold is executed.

    Raises
    ------
    UnknownModel
        No bundled model has that name.
    InputNotFound
        There is no such file of weights.
    WeightsMismatch
        The weights belong to another architecture.
    ModelError
        The file cannot be read as weights.
    """
    if isinstance(model, Model):
        return model
    if isinstance(model, torch.nn.Module):
        return _from_module(model)
    if Path(model).suffix.lower() in WEIGHT_SUFFIXES:
        return _from_weights(Path(model))
    if str(model) not in _BUILDERS:
        raise unknown(str(model))
    return _BUILDERS[str(model)]()


def _from_module(module: torch.nn.Module) -> Model:
    name = type(module).__name__
    return Model(name=name, module=module.eval(), title=f"{name}, a module of your own")


def _from_weights(path: Path) -> Model:
    if not path.is_file():
        raise InputNotFound(f"weights must be a file that exists; there is none at {path}; check the path")
    try:
        return _recognised(_plain_names(_read(path)), path)
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{path.name}: {mismatch}") from None


def _recognised(state: dict[str, torch.Tensor], path: Path) -> Model:
    if is_style(without_stale(state)):
        return style_from(state, name=path.stem, title=f"The style of {path.name}")
    return nuclei_from(state, name=path.stem, title=f"The nuclei network with the weights of {path.name}")


def _plain_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The names as they are outside DataParallel."""
    return {key.removeprefix(PARALLEL): value for key, value in state.items()}


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The state dict in a file, on the CPU."""
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        # torch's own message advises to load without the guard, so it is chained, not quoted
        raise _no_state_dict(path, "something damaged, or other objects") from error
    if not isinstance(state, dict) or not all(torch.is_tensor(value) for value in state.values()):
        raise _no_state_dict(path, f"a {type(state).__name__} of something else")
    return state


def _no_state_dict(path: Path, got: str) -> ModelError:
    return ModelError(
        f"a file of weights holds a state dict, names and tensors and nothing else; {path.name} holds {got}; "
        "write module.state_dict() to it"
    )
