"""Networks with everything around them: weights, pre- and post-processing, classes, a card.

`names` and `describe` are for menus and cost nothing; torch is loaded with the first of the
other names that is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from napari_seamless.models.library import describe, names

if TYPE_CHECKING:
    from napari_seamless.models.load import load_model
    from napari_seamless.models.model import ClassInfo, Model

__all__ = ["ClassInfo", "Model", "describe", "load_model", "names"]

_HOMES = {"ClassInfo": "model", "Model": "model", "load_model": "load"}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
