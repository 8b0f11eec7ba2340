"""From what a user has (a name, a file, a folder, a module) to a `Model`."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from napari_seamless.errors import BadRequest, InputNotFound, ModelError, WeightsMismatch
from napari_seamless.models.architecture import build
from napari_seamless.models.bundled import STYLES, WEIGHT_SUFFIXES, unknown
from napari_seamless.models.loaders.archive import unpack
from napari_seamless.models.loaders.bioimageio import find_description, load_package
from napari_seamless.models.loaders.pt2 import is_exported, load_exported
from napari_seamless.models.loaders.recipe_folder import load_recipe
from napari_seamless.models.loaders.state_dict import State, load_into, read_module, read_state
from napari_seamless.models.loaders.torchscript import is_script, load_script
from napari_seamless.models.model import ANY_NDIM, Model
from napari_seamless.models.networks.nuclei import bundled_nuclei, nuclei_from
from napari_seamless.models.networks.stain import bundled_stain
from napari_seamless.models.networks.style_transfer import bundled_style, is_style, style_from, without_stale
from napari_seamless.models.recipe_file import FILE
from napari_seamless.models.user_library import added

_BUILDERS: Mapping[str, Callable[[], Model]] = {
    "nuclei": bundled_nuclei,
    "stain": bundled_stain,
    **{name: partial(bundled_style, name) for name in STYLES},
}
ONNX = ".onnx"


def load_model(
    model: str | Path | torch.nn.Module | Model,
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    trust: bool = False,
) -> Model:
    """The model that is meant by a name, by a file or folder, or by a module.

    A `Model` is given back as it is. A module is put into eval mode, not copied, and taken for a network of planes
    or volumes, (1, c, [z,] y, x) in float32 with the values as they are, that makes an image. A name is a bundled
    model's, or that of one that was added. A file or folder may be:

    - a recipe folder, or a zip file of one;
    - a bioimage.io package, a zip file or a folder;
    - `.pt2` of torch.export, or TorchScript;
    - weights (`.safetensors`, `.pt`, `.pth`) of the network `architecture` made with `arguments`: a name from a table,
      or `package.module:factory`. Without it they must be those of a style network or of the nuclei network, which
      their names tell apart;
    - a pickled module.

    What would run code that came with a file needs `trust`, which is remembered for this very file. An `architecture`
    is the caller's own word, and needs none.

    Raises
    ------
    UnknownModel
        No model has that name.
    InputNotFound
        There is no such file.
    WeightsMismatch
        The weights belong to another architecture.
    NotTrusted
        It would run code.
    ModelError
        The file cannot be read as a model.
    """
    if isinstance(model, Model | torch.nn.Module):
        return model if isinstance(model, Model) else _from_module(model)
    if str(model) in _BUILDERS:
        return _BUILDERS[str(model)]()
    if isinstance(model, str) and (folder := added(model)) is not None:
        return replace(load_model(folder, trust=trust), name=model)
    path = Path(model)
    if architecture is not None:
        return _with_architecture(path, architecture, arguments or {})
    if arguments:
        raise BadRequest("arguments are those of an architecture; none was given; say which network it is")
    if path.exists():
        return _from_folder(path, trust) if path.is_dir() else _from_file(path, trust)
    if path.suffix.lower() in (*WEIGHT_SUFFIXES, ".pt2", ".zip", ONNX):
        raise InputNotFound(f"weights must be a file that exists; there is none at {path}; check the path")
    raise unknown(str(model))


def _from_module(module: torch.nn.Module) -> Model:
    name = type(module).__name__
    return Model(name=name, module=module.eval(), title=f"{name}, a module of your own", card={"ndim": ANY_NDIM})


def _with_architecture(path: Path, architecture: str, arguments: Mapping[str, Any]) -> Model:
    state = read_state(path)
    try:
        module = load_into(build(architecture, arguments), state, f"the architecture {architecture}")
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{path.name}: {mismatch}") from None
    return Model(path.stem, module, f"{architecture} with the weights of {path.name}", card={"ndim": ANY_NDIM})


def _from_folder(path: Path, trust: bool) -> Model:
    if (path / FILE).is_file():
        return load_recipe(path, trust=trust)
    if find_description(path) is not None:
        return load_package(path, trust=trust)
    raise ModelError(
        f"a folder with a model holds {FILE} or a bioimage.io description (rdf.yaml); {path} has neither; name the file"
    )


def _from_file(path: Path, trust: bool) -> Model:
    if path.suffix.lower() == ONNX:
        raise ModelError(
            f"networks are read as torch writes them; got the ONNX file {path.name}, and no converter to torch that is "
            "kept up runs without torchvision, which this package does without; bring the network it was made from, as "
            ".pt2, TorchScript or a state dict, or convert it yourself and hand over the torch.nn.Module"
        )
    if is_exported(path) or path.suffix.lower() == ".pt2":
        exported = load_exported(path, trust=trust)
        card: dict[str, object] = {"format": "torch.export", "input": str(exported)}
        if exported.fixed is not None:
            card["input_size"] = list(exported.fixed)
        ndim = len(exported.sizes)
        title = f"{path.name}: {exported}"
        return Model(path.stem, exported.module, title, channels=exported.channels, ndim=ndim, card=card)
    if is_script(path):
        script = load_script(path, trust=trust)
        said: dict[str, object] = {"not_exact": script.reason} if script.reason else {}
        return Model(
            path.stem,
            script.module,
            f"TorchScript of {path.name}",
            card={"format": "TorchScript", "ndim": ANY_NDIM, **said},
        )
    if path.suffix.lower() == ".zip" or (zipfile.is_zipfile(path) and path.suffix.lower() not in WEIGHT_SUFFIXES):
        return _from_zip(path, trust)
    if path.suffix.lower() not in WEIGHT_SUFFIXES:
        raise unknown(str(path))
    return _from_weights(path, trust)


def _from_zip(path: Path, trust: bool) -> Model:
    """Everything is read into memory before the unpacked files go."""
    with tempfile.TemporaryDirectory(prefix="napari-seamless-") as folder:
        unpack(path, Path(folder))
        inner = list(Path(folder).iterdir())
        alone = inner[0] if len(inner) == 1 and inner[0].is_dir() else Path(folder)
        return _from_folder(alone, trust)


def _from_weights(path: Path, trust: bool) -> Model:
    found = read_module(path, trust=trust)
    if isinstance(found, torch.nn.Module):
        return Model(path.stem, found, f"{type(found).__name__} of {path.name}", card={"ndim": ANY_NDIM})
    try:
        return _recognised(found, path)
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{path.name}: {mismatch}; or name its architecture") from None


def _recognised(state: State, path: Path) -> Model:
    if is_style(without_stale(state)):
        return style_from(state, name=path.stem, title=f"The style of {path.name}")
    return nuclei_from(state, name=path.stem, title=f"The nuclei network with the weights of {path.name}")
