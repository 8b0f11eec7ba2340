"""What is claimed of a result can only be read as what it is: that tiles give the same as the whole image."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless._napari.run.verdict import verdict_of
from napari_seamless.runs.claims import ABOUT_ARITHMETIC
from program_texts import FILES, ROOT, texts_in

PAGES = [ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SENTENCE = re.compile(r"[^.:;|\n]+(?:\n(?!\n)[^.:;|\n]+)*")


def claims(text: str) -> list[str]:
    """Sentences that call something exact, without naming the whole image that it is the same as."""
    prose = re.sub(r"`[^`]*`|```.*?```|nearest-exact", "", text, flags=re.DOTALL)
    return [s for s in SENTENCE.findall(prose) if re.search(r"\bexact", s, re.I) and "whole image" not in s]


class WithoutDocstrings(ast.NodeTransformer):
    """Texts that stand alone are read by authors of programs."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        return ast.Pass() if isinstance(node.value, ast.Constant) else node


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_no_page_calls_a_result_exact_without_saying_what_it_equals(path: Path) -> None:
    assert claims(path.read_text(encoding="utf-8")) == []


def test_no_sentence_of_the_program_calls_a_result_exact_without_saying_what_it_equals() -> None:
    trees = [WithoutDocstrings().visit(ast.parse(path.read_text(encoding="utf-8"))) for path in FILES]
    found = [text for tree in trees for text in texts_in(tree) if " " in text.strip()]
    assert len(found) > 1000
    assert [text for text in found if claims(text)] == []


def test_this_test_can_fail() -> None:
    assert claims("It is fast. The result\nis exact, too.") == [" The result\nis exact, too"]
    assert claims("It is exactly what the whole image gives. `exact` is a field.") == []


class Argmax(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.argmax(1)


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_what_a_run_says_of_its_result_names_the_whole_image(kind: Literal["image", "labels"]) -> None:
    network = torch.nn.Conv2d(1, 3, 3, padding=1)
    module = network if kind == "image" else torch.nn.Sequential(network, Argmax())
    image = np.random.default_rng(0).random((96, 96), np.float32)
    result = ns.run(ns.Model("cells", module, "Cells", kind=kind), image, tile=64)
    said, verdict = str(result.report.self_check), verdict_of(result.report, result.store)
    assert verdict is not None
    for words in (said, verdict.text):
        assert words.startswith("same as on the whole image: ")
    assert "says nothing on whether the network is right" in ABOUT_ARITHMETIC
