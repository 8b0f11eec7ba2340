"""What docs/troubleshooting.md calls a message is one: it is found in the program's own text."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path

import pytest

from napari_seamless.cli import commands
from napari_seamless.cli.measure import measure
from napari_seamless.models.recipe_file import read_recipe
from program_texts import FILES, ROOT, texts_in

PAGE = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
WINDOW = (ROOT / "docs" / "napari.md").read_text(encoding="utf-8")
QUOTED = re.findall(r"^> (.*)$", PAGE, flags=re.MULTILINE)


def texts() -> list[str]:
    """Every string in the program, with … for what is filled in."""
    return [text for path in FILES for text in texts_in(ast.parse(path.read_text(encoding="utf-8")))]


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


OPTIONS = {name for command in (commands.run, commands.explain, measure) for name in signature(command).parameters}
"""What a shell has an option for, by its name in Python."""
ELSEWHERE = (
    "a list of arrays is one image",
    "a mask needs statistics='tissue'",
    "labels are integers without a channel axis",
    "pixel_size is one number",
)
"""How what begins that is of no option: a parameter that a shell has not, a store's, a field of a recipe."""


def unknown_to_a_shell(text: str) -> set[str]:
    """Options that a sentence names as Python does, and not as a shell does."""
    named = set(re.findall(r"\b([a-z_]+)=|\b([a-z]+_[a-z_]+)\b", text))
    named = {name for names in named for name in names} & OPTIONS
    return {name for name in named if f"--{name.replace('_', '-')}" not in text}


def sentences() -> Iterator[str]:
    """What the program refuses, and what it notes of images and results, outside of its window."""
    for path in FILES:
        if "_napari" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise | ast.Return | ast.Assign):
                yield from texts_in(node)


def test_what_is_said_to_do_in_python_is_said_for_a_shell_too() -> None:
    assert [
        text for text in sentences() if unknown_to_a_shell(text) and " " in text and not text.startswith(ELSEWHERE)
    ] == []
