"""Networks without weights: by a name from a table, or by where their code is; which there are, and what they take.

build("unet", {"inputs": 1, "outputs": 2})
build("usk-net", {"outputs": 3, "mirror": True})
build("monai:BasicUNet", {"spatial_dims": 2, "in_channels": 1, "out_channels": 2})
build("my_package.networks:make_network", {"depth": 3})

Importing the libraries takes seconds: in a window a background thread does it.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError, UnknownModel
from napari_seamless.models._compat import first_line
from napari_seamless.models.confinement import Bounded, confined
from napari_seamless.models.fetching_arguments import FETCHING, check_arguments, offline_defaults
from napari_seamless.models.networks.cellpose import CellposeNetwork
from napari_seamless.models.networks.classifier import Classifier
from napari_seamless.models.networks.filtered_unet import FilteredUNet
from napari_seamless.models.networks.nuclei import NucleiNetwork
from napari_seamless.models.networks.stardist import StarDistNetwork
from napari_seamless.models.networks.stars import StarNetwork
from napari_seamless.models.networks.style_transfer import StyleNetwork
from napari_seamless.models.networks.tschopp import SKNet, USKNet, ValidUNet, sw_net
from napari_seamless.models.networks.unet import UNet

OURS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "unet": UNet,
        "filtered-unet": FilteredUNet,
        "nuclei": NucleiNetwork,
        "stars": StarNetwork,
        "stardist": StarDistNetwork,
        "cellpose": CellposeNetwork,
        "style": StyleNetwork,
        "sw-net": sw_net,
        "sk-net": SKNet,
        "u-net-valid": ValidUNet,
        "usk-net": USKNet,
        "classifier": Classifier,
    }
)
"""Four are those of Tschopp 2015: a classifier of crops (`sw-net`), and three that label pixels without padding. The
last gives one answer for the whole image."""

LIBRARIES: Mapping[str, tuple[str, Mapping[str, object]]] = MappingProxyType(
    {
        "monai": ("monai.networks.nets", {}),
        "smp": ("segmentation_models_pytorch", {"encoder_weights": None}),
        "torchvision": ("torchvision.models.segmentation", {"weights": None, "weights_backbone": None}),
        "timm": ("timm", {"pretrained": False}),
    }
)
"""A prefix, where its networks are, and what must be said so that nothing is downloaded."""

TIMM = (("num_classes", 1000), ("in_chans", 3), ("features_only", False))
"""timm makes all its networks through one function; these are the arguments that most of them take."""


@dataclass(frozen=True)
class Parameter:
    """A keyword argument. `default` is JSON where the value can be written so, else Python's own words for it; None
    where the argument must be given."""

    name: str
    default: str | None


def is_listed(architecture: str) -> bool:
    """Whether it is a name from the table: code of ours or of a well-known library."""
    library, colon, name = architecture.partition(":")
    return architecture in OURS or ((bool(colon) and library in LIBRARIES and name.isidentifier()) or library == "timm")


def build(
    architecture: str,
    arguments: Mapping[str, Any] | None = None,
    *,
    weights: Mapping[str, torch.Tensor] | None = None,
) -> nn.Module:
    """The network, with random weights, on the CPU. An import path runs the code it leads to.

    A name from the table needs no trust: whatever its arguments are, its code is kept from the network, from other
    files and programs (confinement.py), and from making a network much larger than `weights`, where they are known.

    Raises UnknownModel where there is none of that name, ModelError where it cannot be made.
    """
    given = dict(arguments or {})
    listed = is_listed(architecture)
    if listed:
        check_arguments(architecture, given)
    factory = _factory(architecture)
    home = LIBRARIES.get(architecture.partition(":")[0])
    try:
        with (
            nullcontext() if home is None else confined(architecture, home[0].partition(".")[0]),
            nullcontext() if weights is None else Bounded(architecture, weights),
        ):
            made = factory(**given)
    except ModelError:
        raise
    except ImportError as error:
        raise ModelError(
            f"a network's code needs the packages that it imports; {architecture} says: {first_line(error)}; "
            "install what is missing"
        ) from error
    except (
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        AssertionError,
        ArithmeticError,
        LookupError,
        MemoryError,
    ) as error:
        raise ModelError(
            f"a network is made from keyword arguments that its code takes; {architecture} with "
            f"{given or 'no arguments'} says: {error}; check the arguments"
        ) from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"an architecture must give a torch.nn.Module; {architecture} gave a {type(made).__name__}")
    return made


def architecture_names() -> tuple[str, ...]:
    """Names that `load_model` takes as `architecture`, ours first, then those of the libraries that are installed."""
    return (*OURS, *(f"{library}:{name}" for library in LIBRARIES for name in _names(library)))


def parameters_of(architecture: str) -> tuple[Parameter, ...]:
    """What the code of an architecture takes. An import path runs the code it leads to; empty where nothing is known.

    Arguments by which a library would fetch weights are left out. Raises ModelError where the code is not found.
    """
    if architecture.startswith("timm:"):
        return tuple(Parameter(name, json.dumps(value)) for name, value in TIMM)
    made_by = OURS.get(architecture) or _located(architecture)
    if not callable(made_by):
        return ()
    try:
        signature = inspect.signature(made_by)
    except (TypeError, ValueError):
        return ()
    named = (p for p in signature.parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY))
    return tuple(
        Parameter(p.name, None if p.default is p.empty else _written(p.default))
        for p in named
        if p.name not in FETCHING
    )


def _factory(architecture: str) -> Callable[..., Any]:
    if architecture in OURS:
        return OURS[architecture]
    module, _, name = architecture.partition(":")
    if module == "timm" and name:
        create = _imported("timm", architecture).create_model
        return lambda **arguments: create(name, **{"pretrained": False, **arguments})
    found = _located(architecture)
    if found is None:
        home = _imported(_home(module), architecture) if name else None
        listed = [f"{module}:{known}" for known in dir(home) if not known.startswith("_")] if name else list(OURS)
        raise _unknown(architecture, listed)
    if not callable(found):
        raise ModelError(f"an architecture is a class or function; {architecture} is a {type(found).__name__}")
    if module in LIBRARIES:
        return _from_library(found, architecture, LIBRARIES[module][1])
    return found  # type: ignore[no-any-return]


def _located(architecture: str) -> Any:
    """What an import path leads to; None where there is nothing. Raises ModelError where its module is not found."""
    module, _, name = architecture.partition(":")
    if not name:
        return None
    found = _imported(_home(module), architecture)
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _home(module: str) -> str:
    """Where the networks of a library are; of any other code the module itself."""
    return LIBRARIES[module][0] if module in LIBRARIES else module


def _from_library(found: Any, architecture: str, defaults: Mapping[str, object]) -> Callable[..., Any]:
    """Only what makes networks, and only of that library."""
    home = _home(architecture.partition(":")[0]).partition(".")[0]
    if not str(getattr(found, "__module__", "")).startswith(home):
        raise _unknown(architecture, [])
    return lambda **arguments: found(**{**defaults, **offline_defaults(found), **arguments})


def _imported(home: str, architecture: str) -> Any:
    try:
        return import_module(home)
    except (ImportError, ValueError) as error:
        raise ModelError(
            f"the architecture {architecture} needs the package {home.partition('.')[0]}; it cannot be imported "
            f"({error}); install it, or put its folder on PYTHONPATH"
        ) from error


def _unknown(architecture: str, known: list[str]) -> UnknownModel:
    near = get_close_matches(architecture, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else "check the name"
    return UnknownModel(
        f"an architecture is {', '.join(OURS)}, library:Name ({', '.join(LIBRARIES)}) or package.module:factory; "
        f"got {architecture!r}: {hint}"
    )


def _names(library: str) -> Iterator[str]:
    home = _installed(library)
    if home is None:
        return
    if library == "timm":
        yield from home.list_models()
    elif library == "torchvision":
        yield from import_module(home.__name__.rpartition(".")[0]).list_models(module=home)
    else:
        yield from sorted(name for name, found in vars(home).items() if _is_network(found, name, home))


def _is_network(found: Any, name: str, home: Any) -> bool:
    """A class of that library's own, under its own name (some have several)."""
    is_module = isinstance(found, type) and issubclass(found, nn.Module) and found.__name__ == name
    return is_module and found.__module__.partition(".")[0] == home.__name__.partition(".")[0]


def _installed(library: str) -> Any:
    """A library's module of networks; None where it is not installed, or does not import."""
    home = LIBRARIES[library][0]
    if find_spec(home.partition(".")[0]) is None:
        return None
    with warnings.catch_warnings():
        # what a library warns of when it is imported is nothing that a list of its names should say
        warnings.simplefilter("ignore")
        try:
            return import_module(home)
        except ImportError:
            return None


def _written(value: object) -> str:
    try:
        return json.dumps(value)
    except TypeError:
        return repr(value)
