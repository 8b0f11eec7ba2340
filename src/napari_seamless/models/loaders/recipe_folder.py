"""A folder with a recipe and its weights becomes a model, and the other way round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from hashlib import sha256
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from napari_seamless.errors import InputNotFound, ModelError, OutputExists, WeightsMismatch
from napari_seamless.models.architecture import OURS, build, is_listed
from napari_seamless.models.loaders.example_network import CHANNELS
from napari_seamless.models.loaders.pt2 import is_exported, load_exported
from napari_seamless.models.loaders.state_dict import load_into, read_state
from napari_seamless.models.loaders.torchscript import is_script, load_script
from napari_seamless.models.model import ClassInfo, Model, Resolution
from napari_seamless.models.preprocessing.percentile import MeanStdScale, PercentileScale
from napari_seamless.models.preprocessing.resolution import AtResolution, PadToMultiple
from napari_seamless.models.preprocessing.scaling import CastToInteger, Classes, Clip, FixedScale, Linear
from napari_seamless.models.recipe_file import FILE, Recipe, Scaling, checked_recipe, read_recipe, write_recipe
from napari_seamless.models.trust import require_trust
from napari_seamless.program.outputs import OneOutput

COLOURS = ("#1fd160", "#ffe119", "#4363d8", "#f58231", "#911eb4", "#46f0f0", "#f032e6", "#9a6324")
"""For classes without one of their own; the first class is black."""
DTYPES = {"uint8": torch.uint8, "uint16": torch.uint16}


def matches(path: Path) -> bool:
    """Whether it is a folder with a recipe in it."""
    return path.is_dir() and (path / FILE).is_file()


def write_example(folder: Path) -> Path:
    """A recipe for labels of planes of two channels."""
    arguments = {"inputs": CHANNELS, "outputs": 2, "widths": [4, 6]}
    fields = {
        "name": "example",
        "network": {"architecture": "unet", "arguments": arguments},
        "input": {"channels": ["one", "two"], "multiple_of": 2},
        "output": {"kind": "labels", "classes": [{"value": 0, "name": "ground"}, {"value": 1, "name": "cell"}]},
    }
    return save_recipe(folder / "example", build("unet", arguments), fields)


def load(folder: Path, *, trust: bool = False) -> Model:
    """The model of a recipe's folder, as `Loader.load` says.

    An import path in it needs a yes, since it runs the code that it leads to. Raises ModelError, WeightsMismatch,
    NotTrusted or InputNotFound.
    """
    recipe = read_recipe(folder / FILE)
    weights = folder / recipe.network.weights
    if not weights.is_file():
        raise InputNotFound(f"a recipe's weights lie beside it; {folder} has no {weights.name}; copy it there")
    _check_digest(weights, recipe.network.sha256)
    network, notices = _network(recipe, folder, weights, trust)
    return replace(model_of(recipe, network), notices=notices)


def bundled_recipe(name: str) -> Model:
    """One that comes with the package."""
    with as_file(files("napari_seamless.models") / "weights" / name) as folder:
        return load(folder)


def save_recipe(
    folder: str | Path, network: nn.Module, fields: Mapping[str, Any], *, weights: str = "weights.safetensors"
) -> Path:
    """Write a network's weights and what is said about them as a new recipe folder, and give its path.

    `fields` are those of the file, without `schema` and `network.weights`. Raises ModelError where they do not follow
    the schema or do not give this network, OutputExists where the folder is not empty.
    """
    target = Path(folder)
    if target.exists() and any(target.iterdir()):
        raise OutputExists(f"a recipe is written to a new folder; {target} is not empty; name another")
    network_fields = {**fields.get("network", {}), "weights": weights}
    recipe = checked_recipe({**fields, "schema": 1, "network": network_fields}, "what was given")
    if recipe.network.architecture is None:
        raise ModelError("a recipe of a network's weights names its architecture; none was given; name it")
    made = build(recipe.network.architecture, recipe.network.arguments)
    state = network.state_dict()
    load_into(made, state, f"the architecture {recipe.network.architecture}")
    target.mkdir(parents=True, exist_ok=True)
    # a copy each, as safetensors stores no tensors that share memory
    save_file({key: value.detach().cpu().clone().contiguous() for key, value in state.items()}, target / weights)
    digest = sha256((target / weights).read_bytes()).hexdigest()
    write_recipe(
        recipe.model_copy(update={"network": recipe.network.model_copy(update={"sha256": digest})}), target / FILE
    )
    return target


def model_of(recipe: Recipe, network: nn.Module, output: str | None = None) -> Model:
    """A network with the pre- and post-processing of a recipe around it; of several outputs one, by its name."""
    resolution = None
    if recipe.resolution is not None:
        size = recipe.resolution.pixel_size
        sizes = size if isinstance(size, tuple) else (size,) * recipe.input.ndim
        resampled = partial(_assembled, recipe, network, output)
        resolution = Resolution(sizes, recipe.resolution.tolerance, resampled, recipe.resolution.required)
    return Model(
        name=recipe.name,
        module=_assembled(recipe, network, output, None),
        title=recipe.title or recipe.name,
        channels=len(recipe.input.channels),
        ndim=recipe.input.ndim,
        kind="labels" if recipe.output.kind == "labels" or recipe.postprocess is not None else "image",
        classes=_classes(recipe),
        channel_names=recipe.output.channels,
        input_names=recipe.input.channels,
        card=_card(recipe),
        dtype=recipe.input.dtype,
        value_range=recipe.input.range or ((0.0, 255.0) if recipe.input.dtype == "uint8" else None),
        resolution=resolution,
        output=recipe.network.output,
        select=partial(model_of, recipe, network),
        postprocess=None if recipe.postprocess is None else recipe.postprocess.step(),
    )


def _assembled(recipe: Recipe, network: nn.Module, output: str | None, ratio: Sequence[float] | None) -> nn.Module:
    """Scaling, the network (at its resolution), activation and classes, in one module."""
    if output is not None or recipe.network.architecture not in OURS:
        network = OneOutput(network, output)  # ours give one image each
    multiple = recipe.input.multiple_of
    if ratio is not None:
        core: nn.Module = AtResolution(network, ratio, multiple, back=recipe.postprocess is None)
    else:
        core = PadToMultiple(network, multiple) if multiple > 1 else network
    return nn.Sequential(*scaling_modules(recipe.input.scaling), core, *_after(recipe)).eval()


def scaling_modules(scaling: Scaling) -> list[nn.Module]:
    """What is done to pixel values, float (1, c, [z,] y, x), before a network sees them."""
    match scaling.kind:
        case "none":
            return []
        case "range":
            (first, last), span = scaling.to, scaling.high - scaling.low
            gain = (last - first) / span
            cut = [Clip(scaling.low, scaling.high)] if scaling.clip else []
            return [*cut, Linear(gain, first - scaling.low * gain)]
        case "mean-std":
            divide = [Linear(1 / scaling.unit, 0.0)] if scaling.unit != 1 else []
            return [*divide, FixedScale(scaling.mean, scaling.std)]
        case "percentile":
            return [PercentileScale(scaling.low, scaling.high, per_channel=scaling.per_channel, clip=scaling.clip)]
        case "own-mean-std":
            return [MeanStdScale(per_channel=scaling.per_channel)]


def _after(recipe: Recipe) -> list[nn.Module]:
    output, after = recipe.output, list[nn.Module]()
    if output.activation == "sigmoid":
        after.append(nn.Sigmoid())
    elif output.activation == "softmax":
        after.append(nn.Softmax(dim=1))
    if output.kind == "labels":
        values = [one.value for one in output.classes]
        # without an activation a score of 0 is a probability of one half
        middle = 0.0 if output.activation == "none" else 0.5
        after.append(Classes(values, output.threshold, recipe.input.ndim, middle=middle))
    elif output.dtype != "float32":
        after.append(CastToInteger(DTYPES[output.dtype]))
    return after


def _network(recipe: Recipe, folder: Path, weights: Path, trust: bool) -> tuple[nn.Module, tuple[str, ...]]:
    """The network, and what was decided about its weights."""
    architecture = recipe.network.architecture
    if is_exported(weights):
        return load_exported(weights, trust=trust).module, ()
    if is_script(weights):
        return load_script(weights, trust=trust).module, ()
    if architecture is None:
        raise ModelError(
            f"weights alone do not say what the network is; {folder / FILE} names no network.architecture; add it"
        )
    if not is_listed(architecture):
        runs = f"the code of {architecture}, an import path in it"
        require_trust(folder / FILE, (folder / FILE).read_bytes(), runs, trust=trust)
    try:
        state = read_state(weights)
        network = build(architecture, recipe.network.arguments, weights=state)
        return network, load_into(network, state, f"the architecture {architecture}")
    except WeightsMismatch as mismatch:
        raise WeightsMismatch(f"{weights.name}: {mismatch.message}", remedies=mismatch.remedies) from None


def _check_digest(weights: Path, wanted: str | None) -> None:
    if wanted is None:
        return
    with weights.open("rb") as file:
        digest = sha256()
        while piece := file.read(1 << 20):
            digest.update(piece)
    if digest.hexdigest() != wanted:
        raise ModelError(
            f"a recipe's weights must be the very ones it names; {weights.name} has another sha256 than the recipe "
            "says; copy it again, or correct the recipe"
        )


def _classes(recipe: Recipe) -> tuple[ClassInfo, ...]:
    found = []
    for k, one in enumerate(recipe.output.classes):
        colour = one.colour or (COLOURS[(k - 1) % len(COLOURS)] if k else "#000000")
        found.append(ClassInfo(one.value, one.name, colour))
    return tuple(found)


def _card(recipe: Recipe) -> dict[str, object]:
    """What a person is shown: the card's fields, and what the recipe says about input and output."""
    card: dict[str, object] = recipe.card.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    card["input"] = (
        f"{', '.join(recipe.input.channels)} ({recipe.input.dtype or 'any type'}, {recipe.input.scaling.kind})"
    )
    if recipe.resolution is not None:
        card["resolution"] = f"{recipe.resolution.pixel_size} um per pixel, within {recipe.resolution.tolerance:.0%}"
    card["network"] = recipe.network.architecture or recipe.network.weights
    return card
