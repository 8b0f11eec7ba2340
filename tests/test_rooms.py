"""The rooms of the package import in one direction, and the front door is light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "napari_seamless"
SOURCE = Path(__file__).parent.parent / "src" / PACKAGE


@dataclass(frozen=True)
class Room:
    """What a room may import: rooms of ours, and libraries (the standard library always)."""

    ours: frozenset[str]
    libraries: frozenset[str]


def room(ours: str = "", libraries: str = "") -> Room:
    return Room(frozenset(ours.split()), frozenset(libraries.split()))


READERS = (
    "numpy dask zarr yaozarrs tifffile imagecodecs PIL imageio openslide bioio bioio_base aicsimageio aiohttp skimage"
)
WORK = "errors geometry program planning seams sources models engine scheduling store export measurement training"

# numpy goes wherever arrays cross a seam; yaozarrs is how the store writes its metadata
ROOMS = {
    "errors": room(),
    "geometry": room("errors"),
    "program": room("errors geometry", "torch networkx"),
    "planning": room("errors geometry"),
    "seams": room("errors geometry", "numpy"),
    "sources": room("errors geometry seams", READERS),
    "models": room("errors", "torch safetensors numpy pydantic platformdirs tomli_w bioimageio ruyaml"),
    "engine": room("errors geometry program seams", "torch numpy psutil"),
    "scheduling": room("errors geometry seams", "numpy dask distributed psygnal"),
    "store": room("errors geometry seams", "numpy zarr yaozarrs"),
    "export": room("errors geometry seams", "numpy tifffile shapely skimage scipy"),
    "training": room("errors geometry program engine", "torch numpy scipy"),
    "measurement": room("errors geometry seams", "numpy scipy skimage"),
    "pipeline": room(WORK, "numpy dask distributed torch psutil safetensors shapely"),
    "_napari": room("errors geometry seams pipeline", "numpy napari qtpy magicgui superqt vispy"),
    "cli": room("errors geometry seams pipeline _napari", "typer rich"),
    "testing": room("errors geometry seams", "numpy pytest hypothesis"),
    "__init__": room("errors geometry pipeline"),
    "__main__": room("cli"),
}
HEAVY = {"torch", "dask", "distributed", "zarr", "napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6"}


def breaches(root: Path) -> list[str]:
    """Every import under `root` that the table does not allow, as "file:line room imports what"."""
    found = []
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        allowed = ROOMS.get(parts[0])
        if allowed is None:
            found.append(f"{path.name} lies in {parts[0]}, a room that is not in the table")
            continue
        for line, name in imports(ast.parse(path.read_text()), parts):
            top, _, inner = name.partition(".")
            if top == PACKAGE:
                target = inner.partition(".")[0]
                is_fine = target in allowed.ours | {parts[0], "__version__"}
            else:
                target = top
                is_fine = top in allowed.libraries or top in sys.stdlib_module_names
            if not is_fine:
                found.append(f"{'/'.join(parts)}.py:{line} {parts[0]} imports {target or PACKAGE}")
    return found


def imports(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Line and full name of all that a module imports, wherever in it; names of the front door count as pipeline's."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from ((node.lineno, alias.name) for alias in node.names)
            case ast.ImportFrom():
                package = (PACKAGE, *parts)[: -node.level or None] if node.level else ()
                base = ".".join((*package, *([node.module] if node.module else [])))
                for alias in node.names:
                    inner = alias.name if alias.name in {*ROOMS, "__version__"} else "pipeline"
                    yield node.lineno, f"{base}.{inner}" if base == PACKAGE else base
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield node.lineno, name


def test_every_room_imports_only_what_the_design_allows() -> None:
    assert breaches(SOURCE) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("planning/order.py", "import torch\n", "planning/order.py:1 planning imports torch"),
        ("store/a.py", "def f():\n    import torch.nn\n", "store/a.py:2 store imports torch"),
        (
            "geometry/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy as np\n",
            "geometry/a.py:3 geometry imports numpy",
        ),
        ("store/a.py", "from napari_seamless.sources.tiff import x\n", "store/a.py:1 store imports sources"),
        ("store/a.py", "from napari_seamless import sources\n", "store/a.py:1 store imports sources"),
        ("store/a.py", "from napari_seamless import run\n", "store/a.py:1 store imports pipeline"),
        ("store/a.py", "import napari_seamless\n", "store/a.py:1 store imports napari_seamless"),
        ("store/a.py", "from ..engine import runner\n", "store/a.py:1 store imports engine"),
        ("store/deep/a.py", "from ... import engine\n", "store/deep/a.py:1 store imports engine"),
        ("cli.py", "from importlib import import_module\nimport_module('napari')\n", "cli.py:2 cli imports napari"),
        ("helpers/a.py", "", "a.py lies in helpers, a room that is not in the table"),
    ],
)
def test_the_test_of_the_rooms_can_fail(tmp_path: Path, file: str, text: str, expected: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert breaches(tmp_path) == [expected]


def test_the_test_of_the_rooms_lets_pass_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.py").write_text(
        "import os.path\nimport zarr\nfrom napari_seamless import __version__, errors\n"
        "from napari_seamless.geometry import Region\nfrom . import b\nfrom .b import c\n"
    )
    (tmp_path / "cli.py").write_text("from napari_seamless import run\nfrom .pipeline import start\n")
    assert breaches(tmp_path) == []


def heavy_after(statement: str) -> list[str]:
    """Which heavy libraries a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys\nprint(*({HEAVY!r} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return sorted(done.stdout.split())


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert heavy_after("import napari_seamless") == []


def test_naming_a_region_or_an_error_loads_nothing_heavy() -> None:
    assert heavy_after("from napari_seamless import Region, SeamlessError") == []


def test_the_test_of_what_is_loaded_can_fail() -> None:
    assert heavy_after("import napari_seamless, dask") == ["dask"]
