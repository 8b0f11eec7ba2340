"""The page on the architecture is about the files that there are, and its picture about their imports."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SCRIPT = ROOT / "docs" / "make_architecture.py"
SOURCE = ROOT / "src" / "napari_seamless"


def missing(text: str) -> list[str]:
    """Files and folders that are named and not there; names are below the package's folder, or the repository's."""
    named = re.findall(r"`([\w./]+(?:/|\.(?:py|md|toml|yaml)))`", text)
    return [name for name in named if not (SOURCE / name).exists() and not (ROOT / name).exists()]


def test_every_file_that_the_page_names_is_there() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count(".py`") > 40
    assert missing(text) == []


def test_every_file_that_contributing_names_is_there() -> None:
    assert missing((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")) == []


def test_a_file_that_is_gone_would_be_found() -> None:
    assert missing("`geometry/region.py`, `geometry/`, `docs/files.md`, `geometry/gone.py`") == ["geometry/gone.py"]


def test_the_picture_shows_the_imports_that_there_are() -> None:
    script = runpy.run_path(str(SCRIPT))
    assert script["TEXT"].read_text(encoding="utf-8") == script["as_text"](script["imports"]()), (
        "layers or imports between them changed; run: python docs/make_architecture.py"
    )


def test_an_import_that_is_new_would_be_noticed() -> None:
    as_text = runpy.run_path(str(SCRIPT))["as_text"]
    assert as_text(Counter({("store", "geometry"): 2})) == as_text(Counter({("store", "geometry"): 3}))
    assert as_text(Counter({("store", "geometry"): 2})) != as_text(Counter({("store", "errors"): 2}))


def test_every_folder_of_the_package_is_a_layer_in_the_picture_and_in_the_readme() -> None:
    layers = runpy.run_path(str(SCRIPT))["LAYERS"]
    there = {path.stem for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert set(layers) == there - {"__init__", "__main__"}
    order = (ROOT / "tests" / "package" / "test_layers.py").read_text(encoding="utf-8")
    assert list(layers) == re.findall(r'"(\w+)"', order.partition("LAYERS = (")[2].partition("\n)")[0])
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Where things are")[2].partition("\n## ")[0]
    rows = [re.findall(r"`(\w+)(?:\.py|/)`", line.split("|")[1]) for line in section.splitlines() if line[:2] == "| "]
    assert [name for row in rows for name in row] == list(layers), "the README's table is the list of layers"
