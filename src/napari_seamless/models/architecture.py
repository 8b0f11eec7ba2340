"""Networks without weights: by a name from a table, or by where their code is.

build("unet", {"inputs": 1, "outputs": 2})
build("usk-net", {"outputs": 3, "mirror": True})
build("monai:BasicUNet", {"spatial_dims": 2, "in_channels": 1, "out_channels": 2})
build("my_package.networks:make_network", {"depth": 3})
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import Any

from torch import nn

from napari_seamless.errors import ModelError, UnknownModel
from napari_seamless.models.networks.classifier import Classifier
from napari_seamless.models.networks.filtered_unet import FilteredUNet
from napari_seamless.models.networks.nuclei import NucleiNetwork
from napari_seamless.models.networks.style_transfer import StyleNetwork
from napari_seamless.models.networks.tschopp import SKNet, USKNet, ValidUNet, sw_net
from napari_seamless.models.networks.unet import UNet

OURS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "unet": UNet,
        "filtered-unet": FilteredUNet,
        "nuclei": NucleiNetwork,
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

FETCHING = ("pretrained", "weights", "weights_backbone", "encoder_weights", "checkpoint_path", "pretrained_cfg")
"""Arguments of these libraries by which they would fetch or read weights themselves."""


def is_listed(architecture: str) -> bool:
    """Whether it is a name from the table: code of ours or of a well-known library."""
    library, colon, name = architecture.partition(":")
    return architecture in OURS or ((bool(colon) and library in LIBRARIES and name.isidentifier()) or library == "timm")


def build(architecture: str, arguments: Mapping[str, Any] | None = None) -> nn.Module:
    """The network, with random weights, on the CPU. An import path runs the code it leads to.

    Raises UnknownModel where there is none of that name, ModelError where it cannot be made.
    """
    given = dict(arguments or {})
    if is_listed(architecture) and (named := [key for key in FETCHING if given.get(key)]):
        raise ModelError(
            f"weights come from a file of yours, never from the network; {architecture} got {named[0]}="
            f"{given[named[0]]!r}; leave it out"
        )
    factory = _factory(architecture)
    try:
        made = factory(**given)
    except ImportError as error:
        raise ModelError(
            f"a network's code needs the packages that it imports; {architecture} says: {str(error).splitlines()[0]}; "
            "install what is missing"
        ) from error
    except (
        TypeError,
        ValueError,
        AttributeError,
        RuntimeError,
        AssertionError,
        KeyError,
        NotImplementedError,
    ) as error:
        raise ModelError(
            f"a network is made from keyword arguments that its code takes; {architecture} with "
            f"{given or 'no arguments'} says: {error}; check the arguments"
        ) from error
    if not isinstance(made, nn.Module):
        raise ModelError(f"an architecture must give a torch.nn.Module; {architecture} gave a {type(made).__name__}")
    return made


def _factory(architecture: str) -> Callable[..., Any]:
    if architecture in OURS:
        return OURS[architecture]
    module, colon, name = architecture.partition(":")
    if not colon or not name:
        raise _unknown(architecture, list(OURS))
    if module == "timm":
        create = _imported("timm", architecture).create_model
        return lambda **arguments: create(name, **{"pretrained": False, **arguments})
    home, defaults = LIBRARIES.get(module, (module, {}))
    found = _imported(home, architecture)
    for part in name.split("."):
        if not hasattr(found, part):
            raise _unknown(architecture, [f"{module}:{known}" for known in dir(found) if not known.startswith("_")])
        found = getattr(found, part)
    if not callable(found):
        raise ModelError(f"an architecture is a class or function; {architecture} is a {type(found).__name__}")
    if module in LIBRARIES:
        return _from_library(found, architecture, defaults)
    return found  # type: ignore[no-any-return]


def _from_library(found: Any, architecture: str, defaults: Mapping[str, object]) -> Callable[..., Any]:
    """Only what makes networks, and only of that library."""
    home = LIBRARIES[architecture.partition(":")[0]][0].partition(".")[0]
    if not str(getattr(found, "__module__", "")).startswith(home):
        raise _unknown(architecture, [])
    return lambda **arguments: found(**{**defaults, **arguments})


def _imported(home: str, architecture: str) -> Any:
    try:
        return import_module(home)
    except ImportError as error:
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
