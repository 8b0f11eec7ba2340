"""The models that there are by name: those that ship, and those that a person has added. Cheap to import: no torch."""

from __future__ import annotations

import tomllib

from napari_seamless.models import bundled
from napari_seamless.models.user_library import added, added_names


def names() -> tuple[str, ...]:
    """The names that `load_model` knows, bundled ones first."""
    return (*bundled.names(), *added_names())


def describe(name: str) -> str:
    """One line about a model. Raises `UnknownModel` for a name that is not in the list."""
    path = added(name)
    if name in bundled.TITLES or path is None:
        return bundled.describe(name)
    try:
        recipe = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8")) if path.is_dir() else {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        recipe = {}
    title = recipe.get("title") or path.name
    return f"{title} (added)"
