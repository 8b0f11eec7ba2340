"""`napari-seamless measure` says what is in a result, and saves it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

import napari_seamless as ns
from label_images import cells, store_of
from napari_seamless.cli import main
from napari_seamless.store import StoreSpec, create_store


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "nuclei.ome.zarr"
    store_of(cells(), path)
    return path


def said(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> str:
    assert main(["measure", *map(str, arguments)]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def test_it_prints_areas_and_objects(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ns.measure(path)
    out = said(capsys, path)
    assert f"{found.areas[1].pixels:,}" in out
    assert f"{found.areas[1].mm:,.6g}" in out
    assert f"{found.count():,}" in out
    assert f"{found.density():,.4g}" in out
    assert "Pixels of boundary count to the nearest object within 4 pixels." in out


def test_it_saves_a_row_for_each_object(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ("--class", "nucleus", "--min-area", "30um2", "--region", "10:190,20:280", "--csv", tmp_path / "o.csv")
    out = said(capsys, path, *options, "--areas-csv", tmp_path / "a.csv")
    found = ns.measure(path, classes="nucleus", min_area="30um2", region=ns.Region.of((10, 190), (20, 280)))
    with (tmp_path / "o.csv").open(newline="") as text:
        assert [int(row["pixels"]) for row in csv.DictReader(text)] == found.objects["pixels"].tolist()
    assert out.endswith(f"{tmp_path / 'o.csv'}\n{tmp_path / 'a.csv'}\n")
    assert "exists; choose another path" in said(capsys, path, *options, code=7)
    said(capsys, path, *options, "--overwrite")


def test_areas_only(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = said(capsys, path, "--class", "none", "--csv", tmp_path / "o.csv")
    assert "objects" not in out.replace(str(tmp_path), "")
    assert (tmp_path / "o.csv").read_text().startswith("label,class,pixels")


def test_labels_without_a_pixel_size_are_told_in_pixels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_of(cells(), tmp_path / "a.ome.zarr", pixel_size=None)
    out = said(capsys, tmp_path / "a.ome.zarr")
    assert (
        "The size of a pixel is not known, so areas are in pixels; say it with pixel_size=0.25 (--pixel-size 0.25)"
        in " ".join(out.split())
    )
    assert "mm²" not in out
    assert "mm²" in said(capsys, tmp_path / "a.ome.zarr", "--pixel-size", "0.5")


def test_classes_without_names_are_told_by_their_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_of(cells(), tmp_path / "a.ome.zarr", classes=())
    lines = [line.split() for line in said(capsys, tmp_path / "a.ome.zarr").splitlines()]
    numbered = [words for words in lines if "class 2" in " ".join(words)]
    assert len(numbered) == 2, "a row of areas, and one of objects"
    assert f"{ndimage.label(cells() == 2)[1]:,}" in numbered[1]


def test_bad_input_is_one_sentence(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "a class is one of 0 background, 1 nucleus, 2 boundary; got 'x'" in said(
        capsys, path, "--class", "x", code=2
    )
    assert "there is none at" in said(capsys, path, "--roi", tmp_path / "no.geojson", code=3)
    spec = StoreSpec((20, 30), None, np.dtype(np.uint8), "image", "s", "p")
    create_store(tmp_path / "image.ome.zarr", spec).close()
    assert "only labels are measured" in said(capsys, tmp_path / "image.ome.zarr", code=2)
    assert said(capsys, tmp_path / "nothing.ome.zarr", code=3).count("\n") == 1
