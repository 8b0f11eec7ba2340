"""The narrow door: a dozen names, and nothing heavy behind them until they are used."""

import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import napari_seamless

HEAVY = ("torch", "dask", "distributed", "zarr", "napari", "qtpy", "PyQt6", "PySide6")


def heavy_after(statement: str) -> set[str]:
    """The heavy packages that are loaded in a fresh Python after `statement`."""
    code = f"{statement}\nimport sys\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["napari_seamless", "napari_seamless.cli", "napari_seamless.errors"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    assert heavy_after(f"import {module}") == set()


def test_the_check_for_heavy_packages_can_fail() -> None:
    assert heavy_after("import zarr") >= {"zarr"}


def test_looking_around_loads_nothing_heavy() -> None:
    assert heavy_after("import napari_seamless as ns; dir(ns); ns.Region; ns.SeamlessError; ns.__version__") == set()


def test_every_public_name_is_there() -> None:
    for name in napari_seamless.__all__:
        assert getattr(napari_seamless, name) is not None


def test_the_public_names_are_sorted_and_few() -> None:
    assert napari_seamless.__all__ == sorted(napari_seamless.__all__)
    assert len(napari_seamless.__all__) <= 36
    assert dir(napari_seamless) == napari_seamless.__all__


def test_public_classes_and_functions_have_docstrings() -> None:
    public = [getattr(napari_seamless, name) for name in napari_seamless.__all__ if not name.startswith("_")]
    assert [thing.__name__ for thing in public if not thing.__doc__] == []


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"napari_seamless.*no attribute 'segment'"):
        _ = napari_seamless.segment  # type: ignore[attr-defined]


SHIPPED = ("napari.yaml", "py.typed", "models/weights/nuclei.safetensors", "io/readers/data/CMU-1-Small-Region.svs")


def test_wheel_and_sdist_hold_manifest_weights_and_sample(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path)]
    subprocess.run(build, cwd=root, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        assert [name for name in SHIPPED if f"napari_seamless/{name}" not in archive.namelist()] == []
        assert b"napari-seamless.dock" in archive.read("napari_seamless/napari.yaml")
    with tarfile.open(sdist) as archive:
        below = {name.partition("/")[2] for name in archive.getnames()}
    assert [name for name in SHIPPED if f"src/napari_seamless/{name}" not in below] == []


def test_napari_and_the_shell_find_their_entry_points() -> None:
    (manifest,) = entry_points(group="napari.manifest", name="napari-seamless")
    assert manifest.value == "napari_seamless:napari.yaml"
    (script,) = entry_points(group="console_scripts", name="napari-seamless")
    assert callable(script.load())
    assert "napari-seamless.dock" in (Path(napari_seamless.__file__).parent / "napari.yaml").read_text(encoding="utf-8")
