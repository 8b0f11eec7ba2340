"""Models of a person's own: added under a name, shown, removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from napari_seamless.errors import InputNotFound
from napari_seamless.models import Model
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


def card_lines(model: Model) -> Iterator[str]:
    """A model and its card for a person, one thing a line."""
    yield f"{model.name}: {model.title}"
    wants = "any number of channels" if model.channels is None else f"{model.channels} channel(s)"
    yield f"input: {wants}{f' of {model.dtype}' if model.dtype else ''}"
    if model.classes:
        yield f"classes: {', '.join(f'{one.value} {one.name}' for one in model.classes)}"
    yield from _lines(model.card, 0)


def _lines(card: Mapping[str, object], depth: int) -> Iterator[str]:
    for key, value in card.items():
        name = f"{'  ' * depth}{str(key).replace('_', ' ')}:"
        match value:
            case dict():
                yield name
                yield from _lines(value, depth + 1)
            case [dict(), *_]:
                yield name
                yield from (f"{'  ' * (depth + 1)}{_in_a_line(one)}" for one in value)
            case list() | tuple() if any(isinstance(one, str) and len(one) > 30 for one in value):
                yield name
                yield from (f"{'  ' * (depth + 1)}- {one}" for one in value)
            case list() | tuple():
                yield f"{name} {', '.join(map(str, value))}"
            case _:
                yield f"{name} {value}"


def _in_a_line(fields: object) -> str:
    return ", ".join(f"{k} {v}" for k, v in fields.items()) if isinstance(fields, dict) else str(fields)
