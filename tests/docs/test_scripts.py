"""Benchmarks, examples and the scripts and lines of the docs ask for names that the package has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.resources import files
from pathlib import Path

import pytest

import napari_seamless

ROOT = Path(__file__).parents[2]
PACKAGE = "napari_seamless"
SCRIPTS = sorted(path for folder in ("benchmarks", "docs", "examples") for path in (ROOT / folder).glob("*.py"))
MODULES = sorted(path for path in (ROOT / "examples").glob("*/*.py") if path.name != "__main__.py")
"""Of scripts that are folders."""
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]


def stale(code: str) -> list[str]:
    """What is imported from the package, asked of it as `ns`, or read from its folders, and is not there."""
    tree = ast.parse(code)
    return [name for name in asked(tree) if not is_there(name)] + [file for file in read(tree) if not is_shipped(file)]


def read(tree: ast.Module) -> Iterator[str]:
    """The files that are written as files("package") / "folder" / "name"."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Div(), right=ast.Constant()):
                text = ast.unparse(node)
                if text.startswith("files(") and {type(n) for n in ast.walk(node)} <= PATH_NODES:
                    yield text


PATH_NODES = {ast.BinOp, ast.Div, ast.Call, ast.Name, ast.Load, ast.Constant}


def is_shipped(file: str) -> bool:
    package, *names = re.findall(r"'([^']+)'", file)
    return files(package).joinpath(*names).is_file() or files(package).joinpath(*names).is_dir()


def asked(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)) if module.partition(".")[0] == PACKAGE:
                yield from (f"{module}.{alias.name}" for alias in node.names)
            case ast.Import():
                yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == PACKAGE)
            case ast.Attribute(value=ast.Name(id="ns"), attr=name):
                yield f"{PACKAGE}.{name}"


def is_there(name: str) -> bool:
    if name.startswith(f"{PACKAGE}._napari"):
        pytest.importorskip("napari")
    module, _, attribute = name.rpartition(".")
    try:
        found = import_module(module or name)
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith(PACKAGE):
            raise
        return False
    if not attribute or not module or hasattr(found, attribute):
        return True
    try:
        import_module(name)
    except ModuleNotFoundError:
        return False
    return True


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_script_asks_for_names_that_there_are(path: Path) -> None:
    code = path.read_text(encoding="utf-8")
    assert stale(code) == []
    assert '__name__ == "__main__"' in code


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_a_module_of_a_script_asks_for_names_that_there_are(path: Path) -> None:
    assert stale(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_a_page_asks_for_names_that_there_are(path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert [name for block in blocks for name in stale(block)] == []


def test_a_name_that_is_gone_would_be_found() -> None:
    gone = "import napari_seamless as ns\nfrom napari_seamless.pipeline import run\nns.run, ns.segment\n"
    assert stale(gone) == ["napari_seamless.pipeline.run", "napari_seamless.segment"]
    assert stale('files("napari_seamless") / "no such folder"') == ["files('napari_seamless') / 'no such folder'"]
    assert napari_seamless.run is not None


def test_every_page_command_names_a_file_that_is_there() -> None:
    named = [
        (page.name, found)
        for page in [*PAGES, ROOT / "benchmarks" / "README.md"]
        for found in re.findall(
            r"`(?:python |pytest )?((?:tests|benchmarks|examples|docs)/[\w/]+\.py)", page.read_text()
        )
    ]
    assert len(named) > 20
    assert [one for one in named if not (ROOT / one[1]).exists()] == []
