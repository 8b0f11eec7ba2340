"""What docs/troubleshooting.md calls a message is one: it is found in the program's own text."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from napari_seamless.models.recipe_file import read_recipe

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
WINDOW = (ROOT / "docs" / "napari.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^> (.*)$", PAGE, flags=re.MULTILINE)


def texts() -> list[str]:
    """Every string in the program, with … for what is filled in."""
    found = []
    for path in (ROOT / "src" / "napari_seamless").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
            elif isinstance(node, ast.JoinedStr):
                found.append("".join(p.value if isinstance(p, ast.Constant) else "…" for p in node.values))
    return found


TEXTS = texts()


def is_said(message: str) -> bool:
    return any(message.removesuffix("…").strip() in text for text in TEXTS)


@pytest.mark.parametrize("message", QUOTED)
def test_a_message_that_is_explained_is_one_that_is_given(message: str) -> None:
    assert is_said(message)


def test_the_recipe_on_the_page_of_the_window_is_one(tmp_path: Path) -> None:
    (recipe,) = re.findall(r"```toml\n(.*?)```", WINDOW, flags=re.DOTALL)
    (tmp_path / "recipe.toml").write_text(recipe, encoding="utf-8")
    assert read_recipe(tmp_path / "recipe.toml").name == "cells"


def test_this_test_can_fail_and_has_something_to_look_at() -> None:
    assert len(QUOTED) > 25
    assert not is_said("a model may run code whenever it likes")
