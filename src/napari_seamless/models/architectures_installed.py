"""Which architectures there are to choose from here, and what their code wants to be told.

Importing the libraries takes seconds: call these from a background thread.
"""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models.architecture import FETCHING, LIBRARIES, OURS

TIMM = (("num_classes", 1000), ("in_chans", 3), ("features_only", False))
"""timm makes all its networks through one function; these are the arguments that most of them take."""


@dataclass(frozen=True)
class Parameter:
    """A keyword argument. `default` is JSON where the value can be written so, else Python's own words for it; None
    where the argument must be given."""

    name: str
    default: str | None


def architecture_names() -> tuple[str, ...]:
    """Names that `load_model` takes as `architecture`, ours first, then those of the libraries that are installed."""
    return (*OURS, *(f"{library}:{name}" for library in LIBRARIES for name in _names(library)))


def parameters_of(architecture: str) -> tuple[Parameter, ...]:
    """What the code of an architecture takes. An import path runs the code it leads to; empty where nothing is known.

    Arguments by which a library would fetch weights are left out.
    """
    if architecture.startswith("timm:"):
        return tuple(Parameter(name, json.dumps(value)) for name, value in TIMM)
    made_by = _code(architecture)
    if made_by is None:
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


def _names(library: str) -> Iterator[str]:
    home = _imported(library)
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


def _code(architecture: str) -> Callable[..., Any] | None:
    if architecture in OURS:
        return OURS[architecture]
    module, colon, name = architecture.partition(":")
    if not colon or not name:
        return None
    try:
        found = _imported(module) if module in LIBRARIES else import_module(module)
    except (ImportError, ValueError) as error:
        raise ModelError(
            f"an architecture's code must be found by Python; {architecture} is not: {error}; install it, or put its "
            "folder on PYTHONPATH"
        ) from error
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if callable(found) else None


def _imported(library: str) -> Any:
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
