"""What was asked for is what is counted and saved, by brute force on the whole image: regions, outlines, names."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from scipy import ndimage

import napari_seamless as ns
from napari_seamless.cli import main

SHAPE = (300, 420)
BOXES = {"tumour": (20, 30, 120, 160), "stroma": (180, 290, 270, 400), "over both": (100, 140, 200, 300)}


class Threshold(torch.nn.Module):
    """Labels 0, 1, 2 by brightness, a pixel at a time."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image[:, 0] > 0.4).long() + (image[:, 0] > 0.6).long()


@pytest.fixture(scope="module")
def image() -> NDArray[np.float32]:
    noise = ndimage.gaussian_filter(np.random.default_rng(4).random(SHAPE), 5)
    spread = (noise - noise.min()) / (noise.max() - noise.min())
    return np.asarray(spread[None], np.float32)


@pytest.fixture(scope="module")
def labels(image: NDArray[np.float32]) -> NDArray[np.int64]:
    return np.asarray(Threshold()(torch.from_numpy(image)[None])[0])


def annotations(*names: str) -> list[dict[str, Any]]:
    """Rectangles as QuPath exports them: a plain list of features."""
    features = []
    for name in names or BOXES:
        top, left, bottom, right = BOXES[name]
        ring = [[left, top], [right, top], [right, bottom], [left, bottom], [left, top]]
        kind = {"name": f"class of {name}", "color": [1, 2, 3]}
        geometry = {"type": "Polygon", "coordinates": [ring]}
        features.append({"type": "Feature", "geometry": geometry, "properties": {"name": name, "classification": kind}})
    return features


def mask_of(*names: str) -> NDArray[np.bool_]:
    mask = np.zeros(SHAPE, bool)
    for name in names or BOXES:
        top, left, bottom, right = BOXES[name]
        mask[top:bottom, left:right] = True
    return mask


def objects_in(labels: NDArray[Any], *names: str) -> list[tuple[int, int, tuple[float, float]]]:
    """(label, pixels, centroid) of the connected parts whose centroid lies in a box, in order of size."""
    found = []
    for value in (1, 2):
        numbers, count = ndimage.label(labels == value)
        for number in range(1, count + 1):
            at = np.argwhere(numbers == number)
            y, x = at.mean(axis=0)
            boxes = [BOXES[name] for name in names or BOXES]
            if any(top <= y + 0.5 < bottom and left <= x + 0.5 < right for top, left, bottom, right in boxes):
                found.append((value, len(at), (float(y), float(x))))
    return sorted(found)


def run(
    image: NDArray[np.float32], output: Path | None, roi: Any = None, scheduler: str = "serial", **more: Any
) -> Any:
    options = {"output": output, "roi": roi, "scheduler": scheduler, "tile": 64, **more}
    return ns.run(Threshold(), image, **options)


@pytest.mark.parametrize("scheduler", ["serial", "dask"])
@pytest.mark.parametrize("reopened", [False, True])
def test_a_region_that_was_run_is_what_is_measured(
    image: Any, labels: Any, tmp_path: Path, scheduler: str, reopened: bool
) -> None:
    path = tmp_path / "out.ome.zarr"
    result = run(image, path, region=ns.Region.of((20, 120), (30, 160)), scheduler=scheduler)
    found = ns.measure(ns.open_result(path) if reopened else result)
    part = labels[20:120, 30:160]
    assert found.pixels == part.size
    assert {a.value: a.pixels for a in found.areas if a.pixels} == {
        int(v): int(n) for v, n in zip(*np.unique(part, return_counts=True), strict=True)
    }
    everything = ns.measure(path, roi="computed")
    assert everything.pixels == 128 * 192  # whole chunks
    assert ns.measure(result, region=ns.Region.of((0, 128), (0, 192))).pixels == 128 * 192


def test_outlines_have_a_row_each_and_what_they_share_counts_once_in_all(
    image: Any, labels: Any, tmp_path: Path
) -> None:
    (tmp_path / "annotations.geojson").write_text(json.dumps(annotations()))
    run(image, tmp_path / "all.ome.zarr")
    result = run(image, tmp_path / "out.ome.zarr", tmp_path / "annotations.geojson")
    for found in (ns.measure(result), ns.measure(tmp_path / "all.ome.zarr", roi=tmp_path / "annotations.geojson")):
        assert found.pixels == mask_of().sum()
        assert [(p.name, p.classification) for p in found.parts] == [(n, f"class of {n}") for n in BOXES]
        assert [p.pixels for p in found.parts] == [mask_of(name).sum() for name in BOXES]
        for part in found.parts:
            inside = labels[mask_of(part.name)]
            assert [a.pixels for a in part.areas if a.value == 2] == [(inside == 2).sum()]
    whole = ns.measure(tmp_path / "all.ome.zarr", roi=tmp_path / "annotations.geojson")
    rows = zip(whole.objects["label"], whole.objects["pixels"], whole.objects["y"], whole.objects["x"], strict=True)
    expected = objects_in(labels)
    assert sorted((int(v), int(n)) for v, n, _, _ in rows) == sorted((v, n) for v, n, _ in expected)
    for part in whole.parts:
        assert sum(part.objects.values()) == len(objects_in(labels, part.name))
    assert set(whole.objects["roi"]) <= set(BOXES)


def test_another_run_on_the_same_output_adds_to_what_was_asked_for(image: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    run(image, path, annotations("tumour"))
    run(image, path, annotations("tumour"))
    assert ns.measure(path).pixels == mask_of("tumour").sum()
    run(image, path, annotations("stroma"))
    found = ns.measure(path)
    assert found.pixels == mask_of("tumour", "stroma").sum()
    assert [p.name for p in found.parts] == ["tumour", "stroma"]
    run(image, path)
    assert ns.measure(path).pixels == SHAPE[0] * SHAPE[1]


def test_what_was_asked_for_is_what_is_saved(image: Any, labels: Any, tmp_path: Path) -> None:
    path = tmp_path / "out.ome.zarr"
    run(image, path)
    boxes = annotations("tumour", "stroma")
    ns.export(path, tmp_path / "a.ome.tif", roi=boxes)
    masked = np.where(mask_of("tumour", "stroma"), labels, 0)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.ome.tif"), masked[20:270, 30:400])
    part = run(image, tmp_path / "part.ome.zarr", boxes)
    np.testing.assert_array_equal(np.asarray(part), masked)
    copy = part.save(tmp_path / "copy.ome.zarr")
    assert ns.open_result(copy).spec.shape == (250, 370)
    assert [p.pixels for p in ns.measure(copy).parts] == [mask_of(name).sum() for name in ("tumour", "stroma")]
    assert part.save(tmp_path / "b.ome.zarr", roi="computed").exists()
    assert ns.open_result(tmp_path / "b.ome.zarr").spec.shape == SHAPE


@pytest.mark.parametrize("source", ["result", "array"])
def test_of_objects_on_an_edge_the_whole_is_saved_where_the_centroid_lies_inside(
    image: Any, labels: Any, tmp_path: Path, source: str
) -> None:
    shapely = pytest.importorskip("shapely")
    what: Any = labels.astype(np.uint8)
    if source == "result":
        what = run(image, tmp_path / "out.ome.zarr").store
    ns.export(what, tmp_path / "a.geojson", roi=annotations("tumour", "stroma"), kind="labels")
    features = json.loads((tmp_path / "a.geojson").read_text())["features"]
    areas = sorted(shapely.from_geojson(json.dumps(f["geometry"])).area for f in features)
    assert areas == sorted(n for _, n, _ in objects_in(labels, "tumour", "stroma"))


def test_an_object_that_reaches_far_out_of_a_roi_is_whole(tmp_path: Path) -> None:
    labels = np.zeros((2000, 900), np.uint8)
    labels[100:1900, 440:460] = 1
    labels[1000:1010, 700:800] = 1
    region = ns.Region.of((990, 1010), (430, 470))
    found = ns.measure(labels, region=region)
    assert found.objects["pixels"].tolist() == [1800 * 20]
    assert found.areas[1].pixels == 20 * 20
    ns.export(labels, tmp_path / "a.geojson", region=region, kind="labels")
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert [460, 1900] in feature["geometry"]["coordinates"][0]
    assert ns.measure(labels, region=ns.Region.of((0, 100), (0, 900))).count() == 0


def test_a_mask_says_which_pixels_were_asked_for(image: Any, labels: Any) -> None:
    mask = np.zeros((3, 5), bool)
    mask[1, 1:3] = True
    found = ns.measure(run(image, None, mask))
    rows, columns = (np.floor((np.arange(n) + 0.5) * m / n).astype(int) for n, m in zip(SHAPE, mask.shape, strict=True))
    inside = mask[np.ix_(rows, columns)]
    assert found.pixels == inside.sum()
    assert found.areas[1].pixels == (labels[inside] == found.areas[1].value).sum()


def test_a_shell_has_a_table_of_outlines_with_a_total(image: Any, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "out.ome.zarr"
    run(image, path, annotations("tumour", "over both"))
    tables = ["--areas-csv", str(tmp_path / "areas.csv"), "--rois-csv", str(tmp_path / "rois.csv")]
    assert main(["measure", str(path), *tables]) == 0
    shown = capsys.readouterr().out
    assert "over both" in shown
    assert "what was asked for" in shown
    with (tmp_path / "areas.csv").open(newline="") as text:
        assert sum(int(row["pixels"]) for row in csv.DictReader(text)) == mask_of("tumour", "over both").sum()
    with (tmp_path / "rois.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert [row["roi"] for row in rows] == ["tumour", "over both", "total"]
    assert [int(row["pixels"]) for row in rows] == [
        mask_of("tumour").sum(),
        mask_of("over both").sum(),
        mask_of("tumour", "over both").sum(),
    ]
    assert main(["measure", str(path), "--roi", "computed"]) == 0
    assert main(["export", str(path), str(tmp_path / "a.ome.tif")]) == 0
    assert "pixels outside of the outlines are 0" in capsys.readouterr().err
