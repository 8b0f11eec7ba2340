"""Results whose labels are objects are measured as what they are: by their ids, classes, scores and polygons."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import shapely
from skimage.measure import regionprops_table

import napari_seamless as ns
from napari_seamless.cli import main
from napari_seamless.postprocess.object_table import ObjectTable
from napari_seamless.runs.result import Result
from object_models import STEP, written_image, written_model

SHAPE = (259, 300)


@lru_cache
def result() -> Result:
    return ns.run(written_model(), written_image(SHAPE), tile=256, axes="cyx", scheduler="serial")


def labels_and_table() -> tuple[np.ndarray, ObjectTable]:
    return np.asarray(result()).astype(np.int64), ns.objects_of(result())


def test_rows_are_the_objects_of_the_result() -> None:
    labels, table = labels_and_table()
    found = ns.measure_objects(result(), written_image(SHAPE)[:2]).table()
    expected = regionprops_table(labels, properties=["label", "area", "perimeter"])
    np.testing.assert_array_equal(found["id"], expected["label"])
    np.testing.assert_array_equal(found["pixels"], expected["area"])
    np.testing.assert_allclose(found["perimeter"], expected["perimeter"], rtol=1e-9)
    np.testing.assert_array_equal(found["score"], table.extra["score"][np.isin(table.id, found["id"])])
    assert "mean_channel_1" in found


def test_measure_counts_objects_not_connected_parts_and_pixels_by_the_class_of_their_object() -> None:
    labels, _ = labels_and_table()
    found = ns.measure(result())
    assert found.count() == len(np.unique(labels[labels > 0]))
    assert {area.value: area.pixels for area in found.areas if area.pixels} == {
        0: int((labels == 0).sum()),
        1: int((labels > 0).sum()),
    }
    assert found.objects["object"].tolist() == np.unique(labels[labels > 0]).tolist()


def test_outlines_are_the_polygons_of_the_network(tmp_path: Path) -> None:
    ns.measure_objects(result()).save(tmp_path / "o.geojson")
    features = json.loads((tmp_path / "o.geojson").read_text())["features"]
    _, table = labels_and_table()
    by_id = {int(one["properties"]["measurements"]["id"]): one["geometry"] for one in features}
    inside = np.flatnonzero(~table.extra["at_edge"] & np.isin(table.id, list(by_id)))
    assert len(inside) > 5
    angles = np.arange(STEP.rays) * (2 * np.pi / STEP.rays)
    for row in inside:
        (y, x), rays = table.extra["center"][row], table.extra["distance"][row]
        corners = np.stack([x + 0.5 + rays * np.cos(angles), y + 0.5 + rays * np.sin(angles)], 1)
        found = shapely.get_coordinates(shapely.from_geojson(json.dumps(by_id[int(table.id[row])])))
        np.testing.assert_allclose(found[:-1], corners, atol=0.011)


def test_the_shell_measures_and_saves_objects_of_a_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "cells.ome.zarr"
    ns.run(written_model(), written_image(SHAPE), tile=256, axes="cyx", scheduler="serial", output=path)
    capsys.readouterr()
    table = tmp_path / "o.csv"
    main(["measure", str(path), "--objects", str(table), "--positive", "score>0.9", "--pixel-size", "0.5"])
    said = capsys.readouterr().out
    scores = ns.measure_objects(path).table()["score"]
    assert f"{100 * (scores > 0.9).mean():.2f}" in said
    assert len(table.read_text().splitlines()) == len(scores) + 1
