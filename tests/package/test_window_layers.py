"""Inside the window: widgets know no viewer, layers know no dock, and the docks do not know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from layer_imports import PACKAGE, SOURCE, imports

WINDOW = f"{PACKAGE}._napari"
SHARED = ("backend", "background", "dock", "notifications", "problems", "writer", "layers", "widgets")
MAY_IMPORT = {
    "widgets": ("widgets",),
    "layers": ("_compat", "layers", "widgets"),
    "run": ("run", *SHARED),
    "measure": ("measure", *SHARED),
    "teach": ("teach", *SHARED),
}
NAPARI = ("napari", "vispy")


def modules(folder: str) -> list[Path]:
    return sorted((SOURCE / "_napari" / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_part_of_the_window_imports_only_what_it_may(folder: str) -> None:
    found = []
    for path in modules(folder):
        for _line, name in imports(ast.parse(path.read_text()), path.relative_to(SOURCE).with_suffix("").parts):
            inner = name.removeprefix(f"{WINDOW}.")
            is_ours = name.startswith(f"{WINDOW}.")
            if (is_ours and inner.partition(".")[0] not in MAY_IMPORT[folder]) or (
                folder == "widgets" and name.partition(".")[0] in NAPARI
            ):
                found.append(f"{path.name}: {name}")
    assert found == []


def test_there_is_something_to_look_at() -> None:
    assert all(len(modules(folder)) > 5 for folder in MAY_IMPORT)
