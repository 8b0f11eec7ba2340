"""The models that there are by name: those that ship, and those that a person has added, a folder each.

Cheap to import: no torch. Adding one, which loads it first, is in `add_model.py`.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

from filelock import FileLock

from napari_seamless.durable_files import SIGN, beside, move, sync_tree
from napari_seamless.errors import ModelError, OutputExists, OutputUnwritable, one_line
from napari_seamless.models import bundled
from napari_seamless.models.bundled import TITLES, unknown
from napari_seamless.models.folders import model_folder

LOCK = ".lock"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


def names() -> tuple[str, ...]:
    """The names that `load_model` knows, bundled ones first."""
    return (*bundled.names(), *added_names())


def describe(name: str) -> str:
    """One line about a model. Raises `UnknownModel` for a name that is not in the list."""
    path = added_path(name)
    if name in TITLES or path is None:
        return bundled.describe(name)
    try:
        recipe = tomllib.loads((path / "recipe.toml").read_text(encoding="utf-8")) if path.is_dir() else {}
    except (OSError, ValueError, RecursionError):
        recipe = {}
    title = recipe.get("title") or path.name
    return f"{one_line(str(title))} (added)"


def added_names() -> tuple[str, ...]:
    """The names of models that were added, in alphabetical order."""
    try:
        return tuple(sorted(path.name for path in model_folder().iterdir() if NAME.fullmatch(path.name)))
    except OSError:
        return ()


def added_path(name: str) -> Path | None:
    """What lies under a name: a folder, or the one file in it that is the model; None where there is none."""
    folder = model_folder() / name
    if not NAME.fullmatch(name) or not folder.is_dir():
        return None
    files = list(folder.iterdir())
    return files[0] if len(files) == 1 and files[0].is_file() else folder


def copy_to_library(path: Path, name: str) -> Path:
    """Copy a model's file or folder to the library, under a new name; give where it is. Whole or not at all.

    Raises ModelError for a name that cannot be one, OutputExists where it is taken, OutputUnwritable.
    """
    if not NAME.fullmatch(name):
        raise ModelError(f"a model's name is letters, digits, dots and dashes; got {name!r}; say another with --name")
    target = model_folder() / name
    taken = OutputExists(f"a model is added under a name of its own; {name} is taken; remove it, or say another name")
    if name in TITLES or target.exists():
        raise taken
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(target.parent / LOCK):
            _sweep(target.parent)
            if target.exists():
                raise taken
            built = beside(target, "new")
            if path.is_dir():
                shutil.copytree(path, built)
            else:
                built.mkdir()
                shutil.copyfile(path, built / path.name)
            sync_tree(built)
            move(built, target)
    except OSError as error:
        shutil.rmtree(beside(target, "new"), ignore_errors=True)
        raise OutputUnwritable(f"cannot copy the model to {target}: {error.strerror or error}") from error
    return target


def _sweep(folder: Path) -> None:
    """Remove what was left of models whose adding or removing was cut off."""
    for left in folder.glob(f".*.{SIGN}*"):
        shutil.rmtree(left, ignore_errors=True)


def remove_model(name: str) -> None:
    """Delete a model that was added. Raises UnknownModel, and ModelError for a bundled one."""
    if name in TITLES:
        raise ModelError(f"only models that were added can be removed; {name} comes with the package; leave it")
    if added_path(name) is None:
        raise unknown(name)
    folder = model_folder() / name
    with FileLock(folder.parent / LOCK):
        gone = beside(folder, "removed")
        move(folder, gone)
        shutil.rmtree(gone)
