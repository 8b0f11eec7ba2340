"""From what a user has (a name, a file, a folder, a module) to a `Model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from napari_seamless.errors import BadRequest, InputNotFound, ModelError, WeightsMismatch
from napari_seamless.models.architecture import build
from napari_seamless.models.bundled import RECIPES, STYLES, unknown
from napari_seamless.models.library import added_path
from napari_seamless.models.loaders.formats import FORMATS, SUFFIXES, loader_of
from napari_seamless.models.loaders.recipe_folder import bundled_recipe
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.model import ANY_NDIM, Model
from napari_seamless.models.networks.nuclei import bundled_nuclei
from napari_seamless.models.networks.stain import bundled_stain
from napari_seamless.models.networks.style_transfer import bundled_style
from napari_seamless.models.own_module import as_run
from napari_seamless.models.recipe_file import FILE
from napari_seamless.program.own_attributes import require_methods

_BUILDERS: Mapping[str, Callable[[], Model]] = {
    **{name: partial(bundled_recipe, name) for name in RECIPES},
    "nuclei": bundled_nuclei,
    "stain": bundled_stain,
    **{name: partial(bundled_style, name) for name in STYLES},
}


def load_model(
    model: str | Path | torch.nn.Module | Model,
    *,
    architecture: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    trust: bool = False,
    network_output: str | int | None = None,
) -> Model:
    """The model that is meant by a name, by a file or folder, or by a module.

    A `Model` is given back as it is. A module is taken for a network of planes or volumes, (1, c, [z,] y, x) in float32
    with the values as they are, that makes an image; it stays as it is, and where it is in training mode, compiled,
    wrapped or of another float type, a copy that shares its weights is run, which `Model.notices` say. A name is a
    bundled model's, or that of one that was added. A file or folder may be:

    - a recipe folder, or a zip file of one;
    - a bioimage.io package, or the folder of a StarDist model of planes, a zip file or a folder;
    - weights of Cellpose 1 to 3, under any name;
    - `.pt2` of torch.export, or TorchScript;
    - weights (`.safetensors`, `.pt`, `.pth`, `.ckpt`) of the network `architecture` made with `arguments`: a name from
      a table, or `package.module:factory`. Without it they must be those of a style network or of the nuclei network,
      which their names tell apart;
    - a pickled module.

    Of a network with several outputs `network_output` says by its name or number which one is the result, wherever the
    model is used; without it a rule does (`run` tells which), and the option of a run goes before both.

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
        The file cannot be read as a model, or what was given is no module that can be run.
    """
    loaded = _loaded(model, architecture, arguments, trust)
    return loaded if network_output is None else replace(loaded, output=network_output)


def _loaded(
    model: str | Path | torch.nn.Module | Model,
    architecture: str | None,
    arguments: Mapping[str, Any] | None,
    trust: bool,
) -> Model:
    if isinstance(model, Model):
        require_methods(model.module)
        return model
    if not isinstance(model, str | Path):
        return _from_module(model)
    if str(model) in _BUILDERS:
        return _BUILDERS[str(model)]()
    if isinstance(model, str) and (folder := added_path(model)) is not None:
        return replace(load_model(folder, trust=trust), name=model)
    path = Path(model)
    if architecture is not None:
        return _with_architecture(path, architecture, arguments or {})
    if arguments:
        raise BadRequest("arguments are those of an architecture; none was given; say which network it is")
    if path.exists():
        return load_path(path, trust=trust)
    if path.suffix.lower() in SUFFIXES:
        raise InputNotFound(f"weights must be a file that exists; there is none at {path}; check the path")
    raise unknown(str(model))


def _from_module(given: torch.nn.Module) -> Model:
    module, notices = as_run(given)
    name = type(module).__name__
    title = f"{name}, a module of your own"
    return Model(name=name, module=module, title=title, card={"ndim": ANY_NDIM}, notices=notices)


def _with_architecture(path: Path, architecture: str, arguments: Mapping[str, Any]) -> Model:
    state = read_state(path)
    try:
        network = build(architecture, arguments, weights=state)
        notices = load_into(network, state, f"the architecture {architecture}")
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{path.name}: {mismatch.message}", remedies=mismatch.remedies) from None
    title = f"{architecture} with the weights of {path.name}"
    return Model(path.stem, network, title, card={"ndim": ANY_NDIM}, notices=notices)


def load_path(path: Path, *, trust: bool) -> Model:
    """The model in a file or folder that exists, by the first format of the table that it matches. As `load_model`."""
    for one in FORMATS:
        if one.refusal and path.suffix.lower() in one.suffixes:
            raise ModelError(one.refusal.format(name=path.name))
        if one.loader and loader_of(one).matches(path):
            return loader_of(one).load(path, trust=trust)
    if path.is_dir():
        raise ModelError(
            f"a folder with a model holds {FILE}, a bioimage.io description (rdf.yaml), or config.json and weights of "
            f"StarDist; {path} has none of them; name the file"
        )
    raise unknown(str(path))
