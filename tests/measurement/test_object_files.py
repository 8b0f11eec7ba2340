"""Objects as files: what other programs read in them is what was measured, and QuPath's rules are kept."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

import napari_seamless as ns
from label_images import cells, store_of
from measured_objects import nuclei, picture, polygons, source_of
from napari_seamless.errors import BadRequest, OutputExists
from napari_seamless.io.writers import object_formats
from napari_seamless.measurement.objects.measure_objects import ObjectMeasurements
from napari_seamless.measurement.objects.positive import Threshold


@pytest.fixture(scope="module")
def measured() -> ObjectMeasurements:
    """Nuclei with polygons, on a picture of stained tissue."""
    labels, table = polygons(nuclei())
    return ObjectMeasurements(source_of(labels, table=table, image=picture(labels.shape)))


@pytest.fixture(scope="module")
def saved(measured: ObjectMeasurements, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objects")
    measured.save(*(folder / f"o.{end}" for end in ("csv", "geojson", "parquet")), positive="mean_DAB>1.1")
    return folder


def features_of(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["features"]
    return found


def test_csv_has_a_row_for_each_object(measured: ObjectMeasurements, saved: Path) -> None:
    table = measured.table()
    with (saved / "o.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert list(rows[0]) == [*table, "positive"]
    assert [int(row["id"]) for row in rows] == table["id"].tolist()
    np.testing.assert_allclose([float(row["mean_DAB"]) for row in rows], table["mean_DAB"], rtol=1e-9)


def test_geojson_has_what_qupath_asks_of_a_detection(measured: ObjectMeasurements, saved: Path) -> None:
    features, table = features_of(saved / "o.geojson"), measured.table()
    assert len(features) == len(measured)
    assert len({UUID(feature["id"]) for feature in features}) == len(features)
    for row, feature in enumerate(features):
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] in ("Polygon", "MultiPolygon")
        properties = feature["properties"]
        assert properties["objectType"] == "detection"
        kind = properties["classification"]  # without a colour QuPath refuses the whole file
        assert kind["names"] == ["nucleus", "Positive" if table["mean_DAB"][row] > 1.1 else "Negative"]
        assert len(kind["color"]) == 3
        assert all(isinstance(part, int) and 0 <= part <= 255 for part in kind["color"])
        numbers = properties["measurements"]
        assert all(isinstance(value, int | float) for value in numbers.values())
        assert numbers["pixels"] == table["pixels"][row]
        assert numbers["mean_DAB"] == pytest.approx(table["mean_DAB"][row], rel=1e-5)
        assert numbers["score"] == pytest.approx(float(table["score"][row]), rel=1e-5)


def test_geojson_has_closed_valid_polygons_of_whole_nuclei_on_the_slide(
    measured: ObjectMeasurements, saved: Path
) -> None:
    shapes = shapely.from_geojson([json.dumps(one["geometry"]) for one in features_of(saved / "o.geojson")])
    assert shapely.is_valid(shapes).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(shapes))).all()
    table = measured.table()
    inside = shapely.contains_xy(shapes, table["x"] + 0.5, table["y"] + 0.5)  # pixel 0 covers [0, 1)
    assert inside.mean() > 0.98


def test_a_class_without_a_threshold_has_its_own_name_and_colour(measured: ObjectMeasurements, tmp_path: Path) -> None:
    measured.save(tmp_path / "o.geojson")
    kinds = {json.dumps(one["properties"]["classification"]) for one in features_of(tmp_path / "o.geojson")}
    assert kinds == {'{"name": "nucleus", "color": [31, 209, 96]}'}


def test_geoparquet_has_the_columns_and_outlines_and_says_what_they_are(
    measured: ObjectMeasurements, saved: Path
) -> None:
    table, read = measured.table(), pq.read_table(saved / "o.parquet")
    for name, column in table.items():
        found = np.array(read[name].to_pylist(), dtype=column.dtype)
        np.testing.assert_array_equal(found, column, err_msg=name)
    outlines = shapely.from_wkb(read["geometry"].to_pylist())
    geo = json.loads(read.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert column["encoding"] == "WKB"
    assert column["crs"] is None
    assert column["geometry_types"] == sorted({one.geom_type for one in outlines})
    np.testing.assert_allclose(column["bbox"], shapely.total_bounds(outlines))
    assert column["orientation"] == "counterclockwise"
    assert shapely.is_ccw(shapely.get_exterior_ring(shapely.get_parts(outlines))).all()


def test_all_files_have_the_same_objects_in_the_same_order(saved: Path) -> None:
    with (saved / "o.csv").open(newline="") as text:
        ids = [int(row["id"]) for row in csv.DictReader(text)]
    assert [one["properties"]["measurements"]["id"] for one in features_of(saved / "o.geojson")] == ids
    assert pq.read_table(saved / "o.parquet")["id"].to_pylist() == ids


def test_a_threshold_splits_objects_in_two(measured: ObjectMeasurements) -> None:
    values = measured.table()["mean_DAB"]
    shares = measured.save(positive="mean_DAB>1.1")
    assert shares is not None
    whole = shares.shares[0]
    assert (whole.positive, whole.negative) == ((values > 1.1).sum(), (values <= 1.1).sum())
    assert shares.percent == pytest.approx(100 * (values > 1.1).mean())
    assert shares.at(1.2) == pytest.approx(100 * (values > 1.2).mean())
    counts, edges = shares.histogram(10)
    np.testing.assert_array_equal(counts, np.histogram(values, 10)[0])
    assert (edges[0], edges[-1]) == (values.min(), values.max())


@pytest.mark.parametrize("text", ["mean_DAB", "mean_DAB=0.2", ">0.2", "mean_DAB>", "mean_DAB>x"])
def test_what_is_no_threshold_is_refused(text: str) -> None:
    with pytest.raises(BadRequest, match=r"a threshold is a column, one of > >= < <=, and a number"):
        Threshold.of(text)


def test_a_threshold_on_a_column_that_there_is_not_leaves_no_file(measured: ObjectMeasurements, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"got 'mean_ki67'; choose one of id, .*mean_DAB"):
        measured.save(tmp_path / "o.csv", positive="mean_ki67>0.2")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_is_left_alone(measured: ObjectMeasurements, tmp_path: Path) -> None:
    (tmp_path / "o.csv").write_text("mine")
    with pytest.raises(OutputExists):
        measured.save(tmp_path / "o.csv")
    assert (tmp_path / "o.csv").read_text() == "mine"


def test_another_suffix_is_refused(measured: ObjectMeasurements, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"saved as .csv, .geojson, .parquet, .h5ad or .zarr; got 'o.xlsx'"):
        measured.save(tmp_path / "o.xlsx")


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [
        ("o.parquet", "pyarrow", "parquet"),
        ("o.h5ad", "anndata", "spatialdata"),
        ("o.zarr", "spatialdata", "spatialdata"),
    ],
)
def test_a_format_without_its_package_names_the_extra(
    measured: ObjectMeasurements, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, package: str, extra: str
) -> None:
    real: Any = object_formats.find_spec
    monkeypatch.setattr(object_formats, "find_spec", lambda one: None if one == package else real(one))
    with pytest.raises(BadRequest, match=rf'needs .*{package}.*pip install "napari-seamless\[{extra}\]"'):
        measured.save(tmp_path / name)


def test_of_no_objects_files_have_their_columns(tmp_path: Path) -> None:
    found = ObjectMeasurements(source_of(np.zeros((40, 50), np.int64)))
    found.save(*(tmp_path / f"o.{end}" for end in ("csv", "geojson", "parquet")))
    assert (tmp_path / "o.csv").read_text().startswith("id,class,label,pixels,area_um2")
    assert features_of(tmp_path / "o.geojson") == []
    assert pq.read_table(tmp_path / "o.parquet").num_rows == 0


def test_a_class_map_with_a_boundary_gives_whole_nuclei(tmp_path: Path) -> None:
    """The rim between nuclei is theirs, and no object of its own."""
    labels = cells()
    store = store_of(labels)
    found, objects = ns.measure(store), ns.measure_objects(store)
    table = objects.table()
    np.testing.assert_array_equal(table["id"], np.sort(table["id"]))
    for name in ("class", "pixels", "y", "x", "y_min", "x_max", "at_edge"):
        np.testing.assert_array_equal(table[name], found.objects[name], err_msg=name)
    objects.save(tmp_path / "o.geojson")
    areas = [shapely.from_geojson(json.dumps(one["geometry"])).area for one in features_of(tmp_path / "o.geojson")]
    assert areas == found.objects["pixels"].tolist()


@pytest.mark.parametrize("roi", [None, [[(10, 10), (10, 150), (120, 150), (120, 10)]]])
def test_an_export_of_a_class_map_with_a_boundary_has_whole_nuclei_and_no_rims(tmp_path: Path, roi: Any) -> None:
    store = store_of(cells())
    ns.export(store, tmp_path / "o.geojson", roi=roi)
    features, found = features_of(tmp_path / "o.geojson"), ns.measure(store, roi=roi)
    assert {one["properties"]["classification"]["name"] for one in features} == {"nucleus"}
    areas = [shapely.from_geojson(json.dumps(one["geometry"])).area for one in features]
    assert sorted(areas) == sorted(found.objects["pixels"].tolist())
    assert len({one["id"] for one in features}) == found.count("nucleus") > 10


def test_an_object_in_several_parts_is_one_feature(tmp_path: Path) -> None:
    """The boundary that belongs to a nucleus need not touch it."""
    labels = np.zeros((60, 80), np.uint8)
    labels[10:20, 10:20], labels[12:15, 22:24] = 1, 2
    ns.export(store_of(labels), tmp_path / "o.geojson")
    (one,) = features_of(tmp_path / "o.geojson")
    assert one["geometry"]["type"] == "MultiPolygon"
    assert shapely.from_geojson(json.dumps(one["geometry"])).area == 106


def test_objects_of_a_roi_and_of_a_smallest_size_are_those_that_measure_counts() -> None:
    store = store_of(cells())
    outlines = [[(10, 10), (10, 150), (120, 150), (120, 10)], [(100, 100), (100, 290), (190, 290), (190, 100)]]
    options: dict[str, Any] = {"roi": outlines, "min_area": "20um2"}
    found, table = ns.measure(store, **options).objects, ns.measure_objects(store, **options).table()
    for name in ("pixels", "y", "x", "roi"):
        np.testing.assert_array_equal(table[name], found[name], err_msg=name)


def test_a_volume_is_refused() -> None:
    with pytest.raises(BadRequest, match=r"single objects are measured in planes \(y, x\); got 3 axes"):
        ns.measure_objects(store_of(np.zeros((4, 30, 30), np.uint8)))


def test_a_density_map_counts_centroids_in_cells_of_the_image(tmp_path: Path) -> None:
    labels = nuclei()
    source = source_of(labels)  # half a micrometre a pixel
    found = ObjectMeasurements(source).density_map(cell=32)
    height, width = labels.shape
    table = ObjectMeasurements(source).table()
    expected = np.zeros((-(-height // 64), -(-width // 64)))
    np.add.at(expected, (((table["y"] + 0.5) // 64).astype(int), ((table["x"] + 0.5) // 64).astype(int)), 1)
    sides = [np.minimum(64, n - 64 * np.arange(-(-n // 64))) for n in (height, width)]
    np.testing.assert_allclose(found.pixels, expected / (np.outer(*sides) * 0.25e-6), rtol=1e-6)
    saved = ns.open_image(found.save(tmp_path / "d.ome.tif"))
    np.testing.assert_array_equal(saved.read(ns.Region.from_shape(found.pixels.shape))[0], found.pixels)
    assert saved.info.pixel_size == pytest.approx((32, 32))


def test_a_density_map_needs_the_size_of_a_pixel() -> None:
    with pytest.raises(BadRequest, match="told where the size of a pixel is known; it is not"):
        ObjectMeasurements(source_of(nuclei(), pixel_size=None)).density_map()


def test_a_share_is_told_for_each_outline() -> None:
    store = store_of(cells())
    outlines = [[(0, 0), (0, 150), (200, 150), (200, 0)], [(0, 100), (0, 300), (200, 300), (200, 100)]]
    found = ns.measure_objects(store, roi=outlines)
    table, shares = found.table(), found.save(positive="pixels>60")
    assert shares is not None
    for share, low, high in zip(shares.shares, (0, 0, 100), (300, 150, 300), strict=True):
        within = (table["x"] >= low - 0.5) & (table["x"] < high - 0.5)
        assert share.positive == np.count_nonzero(table["pixels"][within] > 60), share
        assert share.count == np.count_nonzero(within), share


def test_the_table_of_outlines_has_counts_and_objects_on_a_square_millimetre() -> None:
    outlines = [[(0, 0), (0, 150), (200, 150), (200, 0)], [(0, 100), (0, 300), (200, 300), (200, 100)]]
    found = ns.measure(store_of(cells()), roi=outlines)
    names, rows = found.table("rois")
    told = [dict(zip(names, row, strict=True)) for row in rows]
    assert [row["roi"] for row in told] == ["outline 1", "outline 2", "total"]
    for row, side in zip(told, (150, 200, 300), strict=True):
        assert row["per_mm2_nucleus"] == pytest.approx(row["objects_nucleus"] / (200 * side * 0.25e-6))
    assert told[-1]["per_mm2_nucleus"] == pytest.approx(found.density("nucleus"))


def test_a_folder_that_is_there_is_not_replaced_even_by_overwrite(
    measured: ObjectMeasurements, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_formats, "find_spec", lambda name: name)
    store_of(cells(), tmp_path / "result.ome.zarr").close()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(OutputExists, match="choose another path"):
        measured.save(tmp_path / "result.ome.zarr", overwrite=True)
    assert sorted(tmp_path.rglob("*")) == before
