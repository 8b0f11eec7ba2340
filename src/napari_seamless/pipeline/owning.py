"""Models of a person's own: added under a name, removed."""

from __future__ import annotations

from pathlib import Path

from napari_seamless.errors import InputNotFound
from napari_seamless.models import library as _library
from napari_seamless.pipeline.preparing import load_model


def add_model(path: str | Path, name: str | None = None, *, trust: bool = False) -> str:
    """Copy a model (a recipe folder, a package, a `.pt2` or TorchScript file) to the user's folder; give its name.

    It is loaded first, so that what cannot be used is said now. `name` is by default the model's own. Raises what
    `load_model` raises, OutputExists where the name is taken, and OutputUnwritable.
    """
    source = Path(path)
    if not source.exists():
        raise InputNotFound(f"a model is added from a file or folder; there is none at {source}; check the path")
    model = load_model(source, trust=trust)
    chosen = model.name if name is None else name
    _library.keep(source, chosen)
    return chosen


def remove_model(name: str) -> None:
    """Delete a model that was added. Raises UnknownModel, and ModelError for a bundled one."""
    _library.remove(name)
