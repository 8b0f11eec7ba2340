"""Tests lie in folders as the sources, and help each other through tests/builders, or a module beside them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
SOURCE = TESTS.parent / "src" / "napari_seamless"
OWN = {"builders", "docs", "gui", "package"}
"""Folders of what is no layer, or of all of them; `gui` needs a window."""


def test_no_two_test_files_have_the_same_name() -> None:
    names = Counter(path.name for path in TESTS.rglob("*.py") if path.name != "conftest.py")
    assert [name for name, count in names.items() if count > 1] == [], "pytest imports tests by their names alone"


def test_folders_are_those_of_the_sources() -> None:
    folders = {path.parent.relative_to(TESTS) for path in TESTS.rglob("test_*.py")}
    assert [str(f) for f in sorted(folders) if f.parts[0] not in OWN and not (SOURCE / f).is_dir()] == []


def test_no_test_imports_another_one() -> None:
    importing = re.compile(r"^(?:from|import) (?:test_|conftest)", flags=re.MULTILINE)
    own = {"test_store_disk.py"}  # its child processes run functions of it
    found = [path.name for path in TESTS.rglob("*.py") if importing.search(path.read_text(encoding="utf-8"))]
    assert [name for name in found if name not in own] == []
