"""Each layer imports only from layers above it, and libraries stay where they belong."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import networkx as nx
import pytest
from layer_imports import PACKAGE, SOURCE, imports

LAYERS = (
    *(
        "errors",
        "units",
        "geometry",
        "interfaces",
        "durable_files",
        "file_lock",
        "byte_cache",
        "fingerprints",
        "program",
        "runtime",
        "io",
        "postprocess",
        "models",
        "store",
    ),
    *("runs", "measurement", "training", "_napari", "cli", "testing"),
)
"""From the top down: what stands later may import what stands earlier."""

LIBRARIES = {
    "errors": "",
    "units": "",
    "geometry": "",
    "interfaces": "numpy",
    "durable_files": "",
    "file_lock": "filelock",
    "byte_cache": "cachetools",
    "fingerprints": "numpy xxhash",
    "program": "torch networkx numpy cachetools",
    "runtime": "torch numpy psutil dask distributed psygnal",
    "io": "numpy xxhash dask zarr numcodecs yaozarrs tifffile imagecodecs PIL imageio openslide bioio bioio_base"
    " aicsimageio aiohttp skimage shapely scipy pyarrow anndata pandas geopandas spatialdata",
    "models": "torch safetensors numpy pydantic platformdirs tomli_w bioimageio ruyaml filelock h5py",
    "store": "numpy xxhash zarr yaozarrs filelock",
    "postprocess": "numba numpy scipy skimage",
    "runs": "numpy dask distributed torch psutil safetensors shapely skimage",
    "measurement": "numpy scipy skimage shapely",
    "training": "torch numpy scipy pydantic cachetools",
    "_napari": "cachetools numpy napari qtpy magicgui superqt vispy",
    "cli": "typer rich",
    "testing": "numpy pytest hypothesis",
}
"""What a layer may import beside the standard library."""

USERS, DOOR = ("_napari", "cli"), ("",)
"""Who may import the package itself, with its public names, as anybody else does."""

HEAVY = {"torch", "dask", "distributed", "zarr", "napari", "qtpy", "PyQt5", "PyQt6", "PySide2", "PySide6"}


def breaches(root: Path) -> list[str]:
    """Every import under `root` that goes down, or to a library that the layer has no use for."""
    found = []
    for path in sorted(root.glob("*/**/*.py")) + sorted(p for p in root.glob("*.py") if not p.name.startswith("__")):
        parts = path.relative_to(root).with_suffix("").parts
        if parts[0] not in LAYERS:
            found.append(f"{path.name} lies in {parts[0]}, which is no layer")
            continue
        above = {
            *LAYERS[: LAYERS.index(parts[0]) + 1],
            "__version__",
            *(DOOR if parts[0] in ("_napari", "cli") else ()),
        }
        libraries = {*LIBRARIES[parts[0]].split(), *sys.stdlib_module_names}
        for line, name in imports(ast.parse(path.read_text()), parts):
            top, _, inner = name.partition(".")
            if not (inner.partition(".")[0] in above if top == PACKAGE else top in libraries):
                found.append(f"{'/'.join(parts)}.py:{line} {parts[0]} imports {name.removeprefix(f'{PACKAGE}.')}")
    return found


def test_every_layer_imports_only_from_above() -> None:
    assert breaches(SOURCE) == []


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("geometry/a.py", "import torch\n", "geometry/a.py:1 geometry imports torch"),
        ("store/a.py", "def f():\n    import torch.nn\n", "store/a.py:2 store imports torch.nn"),
        (
            "geometry/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import numpy as np\n",
            "geometry/a.py:3 geometry imports numpy",
        ),
        ("io/a.py", "from napari_seamless.store.store import x\n", "io/a.py:1 io imports store.store"),
        ("io/a.py", "from napari_seamless import store\n", "io/a.py:1 io imports store"),
        ("store/a.py", "from napari_seamless import run\n", "store/a.py:1 store imports run"),
        ("store/a.py", "import napari_seamless\n", "store/a.py:1 store imports napari_seamless"),
        ("program/a.py", "from ..runtime import engine\n", "program/a.py:1 program imports runtime"),
        ("program/deep/a.py", "from ... import runtime\n", "program/deep/a.py:1 program imports runtime"),
        ("units.py", "from importlib import import_module\nimport_module('numpy')\n", "units.py:2 units imports numpy"),
        ("helpers/a.py", "", "a.py lies in helpers, which is no layer"),
    ],
)
def test_the_test_of_the_layers_can_fail(tmp_path: Path, file: str, text: str, expected: str) -> None:
    path = tmp_path / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    assert breaches(tmp_path) == [expected]


def test_the_test_of_the_layers_lets_pass_what_is_allowed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "a.py").write_text(
        "import os.path\nimport zarr\nfrom napari_seamless import __version__, errors\n"
        "from napari_seamless.geometry import Region\nfrom . import b\nfrom .b import c\n"
    )
    (tmp_path / "cli").mkdir()
    (tmp_path / "cli" / "b.py").write_text("import napari_seamless as ns\nfrom ..runs import start\n")
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


def cycles(root: Path) -> list[list[str]]:
    """Modules that import each other at module scope or under TYPE_CHECKING, as groups."""
    graph = nx.DiGraph()
    names = {path: (PACKAGE, *path.relative_to(root).with_suffix("").parts) for path in root.rglob("*.py")}
    known = {".".join(p[:-1] if p[-1] == "__init__" else p) for p in names.values()}
    for path, parts in names.items():
        here = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    graph.add_edge(here, inner if inner in known else node.module)
    doors = [name for name in known if name == PACKAGE]
    graph.remove_nodes_from(doors)
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def test_no_modules_import_each_other() -> None:
    assert cycles(SOURCE) == []


def test_the_test_of_cycles_can_fail(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("from napari_seamless.b import x\n")
    (tmp_path / "b.py").write_text("def f():\n    from napari_seamless.a import y\n")
    assert cycles(tmp_path) == [["napari_seamless.a", "napari_seamless.b"]]
