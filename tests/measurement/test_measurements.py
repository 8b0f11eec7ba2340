"""`measure`: what a person asks of a result, and is told."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

import napari_seamless as ns
from label_images import CLASSES, SHAPE, cells, store_of
from napari_seamless.errors import BadRequest, InputMismatch, InputNotFound, InputUnreadable, OutputExists, RunCancelled
from napari_seamless.geometry import Region
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.writers.geojson import save_geojson
from napari_seamless.measurement.measure import label_outlines
from napari_seamless.store import StoreSpec, create_store


@pytest.fixture(scope="module")
def labels() -> NDArray[np.uint8]:
    return cells()


@pytest.fixture(scope="module")
def path(labels: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "nuclei.ome.zarr"
    store_of(labels, path)
    return path


def test_areas_of_classes_are_exact_and_in_square_millimetres(path: Path, labels: NDArray[np.uint8]) -> None:
    areas = {area.name: area for area in ns.measure(path).areas}
    assert {name: area.pixels for name, area in areas.items()} == dict(
        zip(("background", "nucleus", "boundary"), np.bincount(labels.ravel()).tolist(), strict=True)
    )
    nucleus = areas["nucleus"]
    assert nucleus.area == pytest.approx(nucleus.pixels * 0.25)
    assert nucleus.mm == pytest.approx(nucleus.pixels * 0.25e-6)
    assert nucleus.fraction == pytest.approx((labels == 1).mean())


def test_objects_are_nuclei_with_their_rims(path: Path, labels: NDArray[np.uint8]) -> None:
    numbers, count = ndimage.label(labels == 1)
    found = ns.measure(path)
    assert found.count() == found.count("nucleus") == count
    index = np.arange(1, count + 1)
    cores = ns.measure(path, boundary=None, classes="nucleus").objects
    np.testing.assert_array_equal(cores["pixels"], ndimage.sum_labels(labels == 1, numbers, index))
    np.testing.assert_allclose(
        np.stack([cores["y"], cores["x"]], 1), ndimage.center_of_mass(labels == 1, numbers, index)
    )
    np.testing.assert_allclose(cores["y_um"], cores["y"] * 0.5)
    assert found.objects["pixels"].sum() == (labels > 0).sum()
    assert found.density() == pytest.approx(count / (labels.size * 0.25e-6))


def test_a_plain_array_is_measured_by_its_labels() -> None:
    instances, count = ndimage.label(cells() == 1)
    found = ns.measure(instances.astype(np.int32))
    assert found.count() == count
    assert found.objects["label"].tolist() == list(range(1, count + 1))
    assert found.pixel_size is None
    assert "the size of a pixel is not known, so areas are in pixels" in found.summary()
    assert "area_um2" not in found.objects
    assert ns.measure(instances, pixel_size=2.0).objects["area_um2"][0] == 4 * found.objects["pixels"][0]


def grown(labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same with a square of label 7 that nobody has a name for."""
    more = labels.copy()
    more[150:160, 200:230] = 7
    return more


@pytest.mark.parametrize("classes", [(), CLASSES[:1], CLASSES[:2]])
def test_every_value_that_occurs_is_counted_whether_it_has_a_name_or_not(
    labels: NDArray[np.uint8], classes: tuple[LabelClass, ...]
) -> None:
    data = grown(labels)
    found = ns.measure(store_of(data, classes=classes))
    first = "nucleus" if len(classes) > 1 else "class 1"
    assert [(a.value, a.name) for a in found.areas] == [
        (0, "background"),
        (1, first),
        (2, "class 2"),
        (7, "class 7"),
    ]
    assert [a.pixels for a in found.areas] == [(data == value).sum() for value in (0, 1, 2, 7)]
    assert found.counted == (first, "class 2", "class 7")
    for name, value in zip(found.counted, (1, 2, 7), strict=True):
        assert found.count(name) == ndimage.label(data == value)[1]
    assert found.count() == len(found.objects["class"])


def test_a_class_of_which_there_is_nothing_is_counted_as_none() -> None:
    found = ns.measure(store_of(np.zeros(SHAPE, np.uint8)))
    assert (found.counted, found.count("nucleus"), found.count()) == (("nucleus",), 0, 0)


def test_a_region_counts_its_pixels_and_the_objects_whose_centroids_it_holds(
    path: Path, labels: NDArray[np.uint8]
) -> None:
    region = ns.Region.of((30, 170), (50, 270))
    found = ns.measure(path, region=region, boundary=None, classes=[1])
    part = labels[region.slices()]
    numbers, count = ndimage.label(labels == 1)
    centroids = np.array(ndimage.center_of_mass(labels == 1, numbers, range(1, count + 1)))
    inside = ((centroids >= (29.5, 49.5)) & (centroids < (169.5, 269.5))).all(axis=1)
    sizes = np.bincount(numbers.ravel())[1:]
    assert found.pixels == part.size
    assert {a.value: a.pixels for a in found.areas} == {v: int((part == v).sum()) for v in range(3)}
    assert found.objects["pixels"].tolist() == sizes[inside].tolist()
    assert 0 < inside.sum() < count
    assert "an object counts, whole, where its centroid lies inside" in found.summary()


def test_outlines_that_were_exported_enclose_just_their_own_pixels(path: Path, tmp_path: Path) -> None:
    store = store_of(cells(), provenance={"to_slide": {"scale": [4.0, 4.0], "offset": [1.5, 1.5]}})
    save_geojson(store, tmp_path / "outlines.geojson")
    features = json.loads((tmp_path / "outlines.geojson").read_text())["features"]
    nuclei = [f for f in features if f["properties"]["classification"]["name"] == "nucleus"]
    found = ns.measure(store, roi=nuclei)
    everything = ns.measure(store, boundary=None, classes=["nucleus"])
    assert found.pixels == {a.name: a.pixels for a in everything.areas}["nucleus"]
    inside = [(p.name, p.pixels) for p in found.parts]
    assert len(inside) == len(nuclei)
    assert sum(pixels for _, pixels in inside) == found.pixels
    assert 0.9 * everything.count("nucleus") < found.count("nucleus") <= everything.count("nucleus")
    box = np.array([(0, 0), (0, 400), (200, 400), (200, 0)])
    assert ns.measure(store, roi=[box]).areas == ns.measure(store, region=Region.of((0, 50), (0, 100))).areas
    assert found.objects["slide_y"][0] == pytest.approx(found.objects["y"][0] * 4 + 1.5)


def test_outlines_come_from_a_file_or_as_corners(path: Path, labels: NDArray[np.uint8], tmp_path: Path) -> None:
    square = {"type": "Polygon", "coordinates": [[[50, 30], [270, 30], [270, 170], [50, 170], [50, 30]]]}
    (tmp_path / "square.geojson").write_text(json.dumps({"type": "Feature", "geometry": square, "properties": {}}))
    by_file = ns.measure(path, roi=tmp_path / "square.geojson")
    corners = np.array([(30, 50), (30, 270), (170, 270), (170, 50)])
    by_corners = ns.measure(path, roi=[corners])
    by_labels = ns.measure(path, roi=label_outlines([corners - 0.5]))
    by_region = ns.measure(path, region=ns.Region.of((30, 170), (50, 270)))
    assert by_file.areas == by_corners.areas == by_labels.areas == by_region.areas
    assert by_file.count() == by_corners.count() == by_region.count()


def test_of_an_unfinished_result_only_what_is_finished_is_measured(labels: NDArray[np.uint8]) -> None:
    found = ns.measure(store_of(labels, cells_done=5))  # the first row of chunks
    assert found.pixels == 64 * SHAPE[1]
    assert "25% of the result is finished; only that is measured" in found.summary()
    whole = ns.measure(labels[:64], names=CLASSES)
    assert [a.pixels for a in found.areas] == [a.pixels for a in whole.areas]
    assert found.objects["at_edge"].tolist() == whole.objects["at_edge"].tolist()


def test_small_objects_are_left_out_and_it_is_said(path: Path) -> None:
    everything, large = ns.measure(path), ns.measure(path, min_area="30um2")
    assert large.count() == (everything.objects["area_um2"] >= 30).sum() < everything.count()
    assert f"{everything.count() - large.count()} objects of less than 120 pixels left out" in large.summary()
    assert ns.measure(path, min_area=120).count() == large.count()


def test_means_of_an_image_under_each_object(path: Path, labels: NDArray[np.uint8]) -> None:
    image = np.random.default_rng(0).integers(0, 255, (*SHAPE, 3), np.uint8)
    found = ns.measure(path, image, boundary=None, classes=[1])
    numbers, count = ndimage.label(labels == 1)
    for channel, name in enumerate(("red", "green", "blue")):
        expected = ndimage.mean(image[..., channel], numbers, np.arange(1, count + 1))
        np.testing.assert_allclose(found.objects[f"mean_{name}"], expected)


def test_the_image_of_labels_at_a_coarser_level_is_read_where_they_lie(labels: NDArray[np.uint8]) -> None:
    fine = np.repeat(np.repeat(labels * 100, 2, 0), 2, 1)
    store = store_of(labels, provenance={"to_slide": {"scale": [2.0, 2.0], "offset": [0.5, 0.5]}})
    found = ns.measure(store, fine, boundary=None, classes=[1, 2])
    assert found.objects["mean_channel_0"].tolist() == (found.objects["label"] * 100).tolist()
    pyramid = [fine, labels * 10]
    assert ns.measure(store, pyramid, classes=[1]).objects["mean_channel_0"].max() <= 20


def test_volumes_have_volumes() -> None:
    volume = cells((12, 40, 50))
    found = ns.measure(store_of(volume), min_area="1um3")
    assert found.count() == ndimage.label(volume == 1)[1]
    assert {"z", "z_min", "volume_um3"} <= set(found.objects)
    assert found.areas[1].mm == pytest.approx((volume == 1).sum() * 0.125e-9)
    assert "mm³" in found.summary()


def test_tables_are_saved_as_csv(path: Path, tmp_path: Path) -> None:
    found = ns.measure(path)
    found.save_csv(tmp_path / "objects.csv")
    with (tmp_path / "objects.csv").open(newline="") as text:
        rows = list(csv.DictReader(text))
    assert len(rows) == found.count()
    assert [int(row["pixels"]) for row in rows] == found.objects["pixels"].tolist()
    assert [row["class"] for row in rows] == ["nucleus"] * len(rows)
    assert float(rows[3]["x_um"]) == pytest.approx(found.objects["x_um"][3])
    found.save_csv(tmp_path / "areas.csv", "areas")
    lines = (tmp_path / "areas.csv").read_text().splitlines()
    assert lines[0] == "label,class,pixels,fraction,area_um2,area_mm2"
    assert lines[2].startswith(f"1,nucleus,{found.areas[1].pixels},")
    with pytest.raises(OutputExists, match=r"objects\.csv exists"):
        found.save_csv(tmp_path / "objects.csv")
    found.save_csv(tmp_path / "objects.csv", overwrite=True)


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(1)", "\t=1"])
def test_a_name_that_a_spreadsheet_would_compute_stays_a_text_in_the_table(
    name: str, labels: NDArray[np.uint8], tmp_path: Path
) -> None:
    found = ns.measure(labels, names=(LabelClass(0, "ground", "#000000"), LabelClass(1, name, "#ffffff")))
    found.save_csv(tmp_path / "areas.csv", "areas")
    with (tmp_path / "areas.csv").open(newline="") as text:
        assert f"'{name}" in [row["class"] for row in csv.DictReader(text)]


def test_without_objects_there_are_areas_only(path: Path, tmp_path: Path) -> None:
    found = ns.measure(path, classes=[])
    assert (found.count(), dict(found.objects)) == (0, {})
    assert found.save_csv(tmp_path / "t.csv").read_text().startswith("label,class,pixels")
    with pytest.raises(BadRequest, match="none were sought"):
        found.save_csv(tmp_path / "u.csv", "objects")


def test_the_histogram_holds_every_object_once(path: Path) -> None:
    found = ns.measure(path)
    counts, edges = found.histogram(bins=10)
    assert counts.sum() == found.count()
    assert len(edges) == len(counts) + 1 <= 11
    assert np.diff(edges) / 0.25 == pytest.approx(np.full(len(counts), np.diff(edges)[0] / 0.25))
    assert round(np.diff(edges)[0] / 0.25, 9).is_integer()
    assert ns.measure(path, min_area=10**6).histogram()[0].tolist() == []
    assert found.histogram(until=float(np.median(found.sizes())))[0].sum() < found.count()


def test_measuring_can_be_stopped_and_tells_how_far_it_is(path: Path) -> None:
    told: list[tuple[int, int]] = []
    ns.measure(path, on_progress=lambda done, total: told.append((done, total)))
    assert told[-1] == (SHAPE[0] * SHAPE[1],) * 2
    with pytest.raises(RunCancelled, match="stopped"):
        ns.measure(path, cancelled=lambda: True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": ["tumour"]}, "a class is one of 0 background, 1 nucleus, 2 boundary; got 'tumour'"),
        ({"boundary": "rim"}, "a class is one of .* got 'rim'"),
        ({"classes": [0]}, "label 0 is background"),
        ({"region": Region.of((0, 10), (290, 310))}, "a region must lie inside the image"),
        ({"min_area": "ten"}, "a smallest area is a number of pixels, or such as 20um2; got 'ten'"),
        ({"min_area": "10um3"}, "have a size in px or um2"),
        ({"roi": [[(500, 500), (500, 600), (600, 600)]]}, "outlines must lie over what there is"),
        ({"roi": {"type": "Point", "coordinates": [1, 2]}}, "GeoJSON without a polygon in it"),
        ({"pixel_size": -1}, "a pixel size is a positive number"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        ns.measure(path, **options)


def test_numbers_are_wanted_where_there_are_no_names() -> None:
    with pytest.raises(BadRequest, match="these labels have no names, only numbers; got 'nucleus'"):
        ns.measure(cells(), classes=["nucleus"])
    with pytest.raises(BadRequest, match="needs the size of a pixel"):
        ns.measure(cells(), min_area="5um2")


def test_images_are_not_measured() -> None:
    with pytest.raises(BadRequest, match=r"only labels are measured.* 3 channels of uint8"):
        ns.measure(np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(BadRequest, match=r"only labels are measured.* float32"):
        ns.measure(np.zeros((20, 30), np.float32))
    with pytest.raises(BadRequest, match="a result of images"):
        ns.measure(create_store(None, StoreSpec((20, 30), None, np.dtype(np.uint8), "image", "s", "p")))


def test_an_image_that_does_not_belong_to_the_labels_is_refused(path: Path) -> None:
    with pytest.raises(InputMismatch, match="an image must have the shape of the labels"):
        ns.measure(path, np.zeros((50, 50), np.uint8))


def test_files_that_are_no_outlines_are_refused(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InputNotFound, match="outlines come from a GeoJSON file; there is none"):
        ns.measure(path, roi=tmp_path / "no.geojson")
    (tmp_path / "a.geojson").write_text("not json")
    with pytest.raises(InputUnreadable, match="cannot be read as one"):
        ns.measure(path, roi=tmp_path / "a.geojson")
    with pytest.raises(InputUnreadable, match="lists of rings of x and y"):
        ns.measure(path, roi={"type": "Polygon", "coordinates": [[["a", "b"]]]})


def test_an_image_with_labels_beside_it_says_which_these_are(tmp_path: Path, labels: NDArray[np.uint8]) -> None:
    import zarr

    path = tmp_path / "image.ome.zarr"
    group = zarr.create_group(path)
    group.create_array("0", data=np.zeros((3, 20, 30), np.float32))
    axes = [{"name": "c", "type": "channel"}, {"name": "y", "type": "space"}, {"name": "x", "type": "space"}]
    transforms = [{"type": "scale", "scale": [1.0, 1.0, 1.0]}]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    group.create_group("labels/cells")
    with pytest.raises(BadRequest, match=r"labels beside it; give one of them: .*labels/cells"):
        ns.measure(path)
