"""Every line of the table of model formats, on an example of the loader's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import napari_seamless as ns
from napari_seamless.errors import ModelError
from napari_seamless.models import load_model
from napari_seamless.models.loaders.formats import FORMATS, SUFFIXES, ModelFormat, loader_of
from napari_seamless.models.recipe_file import FILE

NEEDED = {"bioimageio": "bioimageio.spec", "stardist": "h5py"}
"""Packages that come with extras."""
LOADED = [one for one in FORMATS if one.loader]


def title(one: ModelFormat) -> str:
    return one.title


@pytest.fixture(autouse=True)
def data_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is trusted in a test stays in it."""
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path_factory.mktemp("data")))


def example(one: ModelFormat, folder: Path) -> Path:
    if one.loader in NEEDED:
        pytest.importorskip(NEEDED[one.loader])
    return loader_of(one).write_example(folder)


@pytest.mark.parametrize("one", LOADED, ids=title)
def test_an_example_gives_in_tiles_what_it_gives_whole(one: ModelFormat, tmp_path: Path) -> None:
    model = replace(load_model(example(one, tmp_path), trust=True), postprocess=None)
    pixels = np.random.default_rng(0).uniform(0, 255, (model.channels or 2, 96, 128)).astype(np.float32)
    with torch.inference_mode():
        whole = model.module(torch.from_numpy(pixels)[None])[0].numpy()
    tiled = np.asarray(ns.run(model, pixels, axes="cyx", tile=64, scheduler="serial", device="cpu"))
    if model.kind == "labels":
        np.testing.assert_array_equal(tiled, whole)
    else:
        assert np.abs(tiled - whole).max() < 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("one", LOADED, ids=title)
def test_an_example_is_matched_by_its_own_loader_first(one: ModelFormat, tmp_path: Path) -> None:
    path = example(one, tmp_path)
    assert next(other.title for other in LOADED if loader_of(other).matches(path)) == one.title


@pytest.mark.parametrize("one", LOADED, ids=title)
def test_nothing_is_no_model_of_any_format(one: ModelFormat, tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    assert not any(loader_of(one).matches(tmp_path / name) for name in ("empty", "folder", "none"))


def test_titles_suffixes_and_descriptions_come_once_in_the_table() -> None:
    assert len({one.title for one in FORMATS}) == len(FORMATS)
    assert len(set(SUFFIXES)) == len(SUFFIXES)
    assert tuple(suffix.lower() for suffix in SUFFIXES) == SUFFIXES
    assert FILE in FORMATS[0].descriptions


@pytest.mark.parametrize("one", FORMATS, ids=title)
def test_a_format_is_either_loaded_or_refused(one: ModelFormat, tmp_path: Path) -> None:
    assert bool(one.loader) != bool(one.refusal)
    if one.refusal:
        path = tmp_path / f"mine{one.suffixes[0]}"
        path.write_bytes(b"0")
        with pytest.raises(ModelError, match=f"got the {one.title} file mine"):
            load_model(path)
