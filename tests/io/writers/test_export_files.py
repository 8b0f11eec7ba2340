"""Results as pyramidal OME-TIFF and as GeoJSON, whole, in part, and while they are made."""

from __future__ import annotations

import json
import tracemalloc
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
import shapely
import tifffile
import yaozarrs
from bioio import BioImage
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label as parts_of

import napari_seamless as ns
from napari_seamless import cli
from napari_seamless.errors import BadRequest, OutputExists, OutputUnwritable, RunCancelled
from napari_seamless.geometry import Region, cells_of
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.writers import geojson, ome_tiff
from napari_seamless.io.writers.geojson import save_geojson
from napari_seamless.io.writers.label_outlines import Outlines
from napari_seamless.io.writers.ome_tiff import save_ome_tiff
from napari_seamless.store import Store, StoreSpec, create_store, open_store

CLASSES = (
    LabelClass(0, "background", "#000000"),
    LabelClass(1, "nucleus", "#ff8000"),
    LabelClass(2, "edge", "#00ff00"),
)
CASES: dict[str, dict[str, Any]] = {
    "labels": {"kind": "labels", "dtype": np.uint8, "channels": None, "classes": CLASSES},
    "wide labels": {"kind": "labels", "dtype": np.int64, "channels": None},
    "rgb": {"dtype": np.uint8, "channels": 3, "channel_names": ("red", "green", "blue")},
    "channels": {"dtype": np.uint16, "channels": 4, "channel_names": ("a", "b", "c", "d")},
    "plane": {"dtype": np.float32, "channels": None},
    "half": {"dtype": np.float16, "channels": None},
    "volume": {"dtype": np.uint8, "channels": 2, "shape": (3, 700, 90)},
    "label volume": {"kind": "labels", "dtype": np.uint16, "channels": None, "shape": (3, 700, 90)},
}
AXES = {"rgb": "YXS", "channels": "CYX", "volume": "CZYX", "label volume": "ZYX"}


def result(path: Path | None, case: str = "labels", chunks: int | None = None, **more: Any) -> Store:
    """A result of a few chunks and more than one level, the first `chunks` of them finished."""
    facts = {"kind": "image", "shape": (1200, 1100), "name": "mine", "pixel_size": (0.5, 0.5), **CASES[case], **more}
    if len(facts["shape"]) == 3:
        facts["pixel_size"] = (2.0, 0.5, 0.5)
    spec = StoreSpec(source_identity="source", program_hash="program", provenance={"model": "m"}, **facts)
    store = create_store(path, spec)
    rng = np.random.default_rng(0)
    for cell in list(cells_of(Region.from_shape(spec.grid.counts)))[:chunks]:
        region = spec.grid.region(cell)
        small = rng.integers(0, 3, (spec.channels or 1, *(-(-n // 40) for n in region.shape)))
        blobs = np.kron(small, np.ones((1, *(40,) * len(region.shape)), int))
        store.write(region, blobs[(slice(None), *Region.from_shape(region.shape).slices())].astype(spec.dtype))
        store.commit(region)
    return store


def assert_levels_agree(store: Store, levels: Sequence[Any]) -> None:
    assert len(levels) == len(store.levels)
    for level, shape in enumerate(store.info.levels.shapes):
        expected = store.read(Region.from_shape(shape), level)
        np.testing.assert_array_equal(np.asarray(levels[level]).reshape(expected.shape), expected)


# -- OME-TIFF


@pytest.mark.parametrize("case", CASES)
def test_an_ome_tiff_has_all_levels_axes_and_the_size_of_a_pixel(tmp_path: Path, case: str) -> None:
    store = result(None, case)
    path = save_ome_tiff(store, tmp_path / "out" / "a.ome.tif")
    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert (file.is_ome, file.is_bigtiff, series.axes) == (True, False, AXES.get(case, "YX"))
        page = series.pages[0]
        assert (page.is_tiled, page.tilewidth, page.compression.name) == (True, 512, "ADOBE_DEFLATE")
        levels = [level.asarray() for level in series.levels]
        assert_levels_agree(store, [np.moveaxis(a, -1, 0) if case == "rgb" else a for a in levels])
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert (pixels["PhysicalSizeX"], pixels["PhysicalSizeXUnit"], pixels["PhysicalSizeY"]) == (0.5, "µm", 0.5)
    if store.spec.channel_names and case != "rgb":
        assert [c["Name"] for c in pixels["Channel"]] == ["a", "b", "c", "d"]


@pytest.mark.parametrize("case", ["labels", "rgb", "channels", "volume"])
def test_our_own_reader_reads_an_ome_tiff_as_it_was(tmp_path: Path, case: str) -> None:
    store = result(None, case)
    image = ns.open_image(save_ome_tiff(store, tmp_path / "a.ome.tif"))
    assert (image.info.pixel_size, image.info.unit, image.info.dtype) == (
        store.spec.pixel_size,
        "micrometer",
        store.spec.dtype,
    )
    assert_levels_agree(store, [image.read(Region.from_shape(s), k) for k, s in enumerate(image.info.levels.shapes)])
    image.close()


def test_bioio_reads_an_ome_tiff(tmp_path: Path) -> None:
    store = result(None, "channels")
    path = save_ome_tiff(store, tmp_path / "a.ome.tif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own dependencies
        image = BioImage(path)
        assert (image.channel_names, image.physical_pixel_sizes.X) == (["a", "b", "c", "d"], 0.5)
        np.testing.assert_array_equal(image.get_image_data("CYX"), store.read(Region.from_shape((1200, 1100))))


def test_a_large_ome_tiff_is_a_bigtiff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ome_tiff, "CLASSIC_BYTES", 10**6)
    with tifffile.TiffFile(save_ome_tiff(result(None), tmp_path / "a.ome.tif")) as file:
        assert file.is_bigtiff


def test_a_partial_result_says_so_wherever_it_is_saved(tmp_path: Path) -> None:
    store = result(None, chunks=4)
    with tifffile.TiffFile(save_ome_tiff(store, tmp_path / "a.ome.tif")) as file:
        image = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]
        assert image["Name"] == "mine (partial)"
        assert json.loads(image["Description"]) == {"model": "m", "complete": False, "finished": 0.4444}
    assert json.loads(save_geojson(store, tmp_path / "a.geojson").read_text())["napari-seamless"]["complete"] is False


def test_names_of_classes_are_in_the_ome_metadata(tmp_path: Path) -> None:
    with tifffile.TiffFile(save_ome_tiff(result(None), tmp_path / "a.ome.tif")) as file:
        assert "nucleus #ff8000" in file.ome_metadata


def test_labels_that_do_not_fit_into_32_bits_are_refused(tmp_path: Path) -> None:
    store = result(None, "wide labels")
    store.write(region := store.grid.region((0, 0)), np.full((1, *region.shape), 2**40))
    store.commit(region)
    with pytest.raises(BadRequest, match=r"between 0 and 4294967295; got 1099511627776; number them anew"):
        save_ome_tiff(store, tmp_path / "a.ome.tif")
    assert not list(tmp_path.iterdir())


def test_an_export_that_is_cancelled_leaves_nothing_behind(tmp_path: Path) -> None:
    def cancel(done: int, total: int) -> None:
        if done == 3:
            raise RunCancelled(f"enough, {done} of {total}")

    with pytest.raises(RunCancelled, match="enough, 3 of 13"):
        save_ome_tiff(result(None), tmp_path / "a.ome.tif", on_progress=cancel)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.ome.tif", "a.geojson"])
def test_what_is_there_is_replaced_only_when_asked_to(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("precious")
    with pytest.raises(OutputExists, match="exists; choose another path or overwrite it"):
        ns.export(result(None), tmp_path / name)
    assert (tmp_path / name).read_text() == "precious"
    assert ns.export(result(None), tmp_path / name, overwrite=True).stat().st_size > 100
    with pytest.raises(OutputUnwritable, match="File exists; choose another output path"):
        ns.export(result(None), tmp_path / name / name)


# -- outlines


def outlines(labels: np.ndarray, rows: int) -> list[tuple[int, Any]]:
    found = Outlines()
    inner = [outline for top in range(0, len(labels), rows) for outline in found.add(labels[top : top + rows])]
    return inner + list(found.close())


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_outlines_are_the_labels_whatever_the_bands(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    labels = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]))
    )
    labels = labels.reshape(shape).astype(np.uint8)
    found = outlines(labels, data.draw(st.integers(1, 15)))
    again = np.zeros_like(labels)
    ys, xs = np.mgrid[: shape[0], : shape[1]] + 0.5
    for value, polygon in found:
        assert polygon.is_valid
        inside = shapely.contains_xy(polygon, xs.ravel(), ys.ravel()).reshape(shape)
        assert not again[inside].any()
        again[inside] = value
    np.testing.assert_array_equal(again, labels)
    assert len(found) == parts_of(labels, background=0, connectivity=1).max()
    whole = {(value, polygon.normalize().wkt) for value, polygon in outlines(labels, 99)}
    assert {(value, polygon.normalize().wkt) for value, polygon in found} == whole


def features(path: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(path.read_text())["features"]
    return found


def test_geojson_has_the_names_and_colours_that_qupath_takes(tmp_path: Path) -> None:
    store = result(None)
    found = features(save_geojson(store, tmp_path / "a.geojson"))
    labels = store.read(Region.from_shape((1200, 1100)))[0]
    assert len(found) == parts_of(labels, background=0, connectivity=1).max()
    assert {json.dumps(f["properties"]) for f in found} == {
        '{"objectType": "detection", "classification": {"name": "nucleus", "color": [255, 128, 0]}}',
        '{"objectType": "detection", "classification": {"name": "edge", "color": [0, 255, 0]}}',
    }
    assert len({f["id"] for f in found}) == len(found)
    areas = {
        name: sum(shapely.from_geojson(json.dumps(f["geometry"])).area for f in found if name in str(f["properties"]))
        for name in ("nucleus", "edge")
    }
    assert areas == {"nucleus": np.count_nonzero(labels == 1), "edge": np.count_nonzero(labels == 2)}


def drawn(pixels: np.ndarray, **more: Any) -> Store:
    """A result in memory that holds these labels, (y, x)."""
    spec = StoreSpec(pixels.shape, None, pixels.dtype, "labels", "s", "p", **more)
    store = create_store(None, spec)
    for cell in cells_of(Region.from_shape(spec.grid.counts)):
        region = spec.grid.region(cell)
        store.write(region, pixels[None][(slice(None), *region.slices())])
        store.commit(region)
    return store


def test_geojson_is_made_as_qupath_reads_it(tmp_path: Path) -> None:
    """What its documentation shows and its reader insists on; QuPath itself is no part of this test."""
    labels = np.zeros((40, 60), np.uint16)
    labels[2:20, 3:30] = 1
    labels[5:9, 6:12] = 0  # a hole
    labels[12:15, 20:25] = 7  # an object of another class in a hole of the first one
    labels[25:27, 5:9] = labels[27:29, 9:12] = 300  # two objects that touch at a corner
    text = save_geojson(drawn(labels, classes=CLASSES), tmp_path / "a.geojson").read_bytes()
    assert text.isascii()  # QuPath reads in whatever encoding its computer has
    found = json.loads(text)
    assert found["type"] == "FeatureCollection"
    assert len(found["features"]) == 4
    for feature in found["features"]:
        assert feature["type"] == "Feature"
        assert str(UUID(feature["id"])) == feature["id"]
        assert feature["properties"]["objectType"] in ("annotation", "detection")
        kind = feature["properties"]["classification"]
        assert kind["name"]
        assert [type(part) for part in kind["color"]] == [int] * 3
        assert all(0 <= part <= 255 for part in kind["color"])
        geometry = feature["geometry"]
        assert geometry["type"] == "Polygon"
        for number, ring in enumerate(geometry["coordinates"]):
            assert ring[0] == ring[-1]
            assert len(ring) >= 5
            assert shapely.LinearRing(ring).is_ccw == (number == 0)
        polygon = shapely.from_geojson(json.dumps(geometry))
        assert polygon.is_valid
        assert shapely.box(0, 0, 60, 40).covers(polygon)
    by_name = {f["properties"]["classification"]["name"]: f for f in found["features"]}
    assert by_name.keys() == {"nucleus", "class 7", "class 300"}
    assert by_name["nucleus"]["properties"]["classification"]["color"] == [255, 128, 0]
    colours = {tuple(f["properties"]["classification"]["color"]) for f in by_name.values()}
    assert len(colours) == 3
    nucleus = by_name["nucleus"]["geometry"]["coordinates"]
    assert [len(nucleus), sorted(map(tuple, nucleus[0][:-1]))] == [3, [(3, 2), (3, 20), (30, 2), (30, 20)]]


def test_an_object_keeps_its_id_whatever_else_is_there_by_then(tmp_path: Path) -> None:
    spec = StoreSpec((1200, 1100), None, np.dtype(np.uint8), "labels", "s", "p")
    store, pixels = create_store(tmp_path / "a.zarr", spec), np.zeros((1200, 1100), np.uint8)
    pixels[600:640, 600:640] = pixels[10:20, 10:20] = 1
    seen = []
    for cell in ((1, 1), (0, 0)):
        region = spec.grid.region(cell)
        store.write(region, pixels[None][(slice(None), *region.slices())])
        store.commit(region)
        seen.append({f["id"] for f in features(save_geojson(store, tmp_path / f"{len(seen)}.geojson"))})
    assert [len(ids) for ids in seen] == [1, 2]
    assert seen[0] < seen[1]


def test_geojson_counts_in_pixels_of_the_slide(tmp_path: Path) -> None:
    place = {"to_slide": {"scale": [4.0, 4.0], "offset": [1.5, 101.5]}}
    spec = StoreSpec((20, 30), None, np.dtype(np.uint8), "labels", "s", "p", provenance=place)
    store = create_store(None, spec)
    pixels = np.zeros((1, 20, 30), np.uint8)
    pixels[0, 2:4, 5:9] = 1
    store.write(Region.from_shape((20, 30)), pixels)
    store.commit(Region.from_shape((20, 30)))
    (feature,) = features(save_geojson(store, tmp_path / "a.geojson"))
    # a pixel of the result covers four of the slide, from 4 y on and from 100 + 4 x on
    assert shapely.from_geojson(json.dumps(feature["geometry"])).bounds == (120, 8, 136, 16)


@pytest.mark.parametrize(("case", "got"), [("rgb", "an image"), ("label volume", "a volume of labels")])
def test_only_labels_of_a_plane_have_outlines(tmp_path: Path, case: str, got: str) -> None:
    with pytest.raises(BadRequest, match=rf"only labels of a plane have outlines; got {got}; save it as"):
        save_geojson(result(None, case), tmp_path / "a.geojson")


def test_memory_for_outlines_does_not_grow_with_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(geojson, "BAND_PIXELS", 100 * 1000)
    spec = StoreSpec((3000, 1000), None, np.dtype(np.uint8), "labels", "s", "p")
    peaks = []
    for rows in (1000, 3000):
        store = create_store(tmp_path / f"{rows}.zarr", spec, cache_bytes=10**6)
        pattern = np.kron(np.random.default_rng(0).integers(0, 3, (16, 32)), np.ones((32, 32))).astype(np.uint8)
        for cell in cells_of(Region.from_shape(spec.grid.counts)):
            region = spec.grid.region(cell)
            if region.start[0] < rows:
                store.write(region, pattern[None, : region.shape[0], : region.shape[1]])
                store.commit(region)
        tracemalloc.start()
        save_geojson(store, tmp_path / f"{rows}.geojson")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


# -- a part


@pytest.mark.parametrize("level", [0, 1])
def test_a_region_of_a_level_lies_where_it_lay(tmp_path: Path, level: int) -> None:
    store = result(tmp_path / "a.ome.zarr")
    path = ns.export(store, tmp_path / "part.ome.zarr", region=Region.of((100, 900), (301, 1100)), level=level)
    yaozarrs.validate_zarr_store(str(path))
    part = open_store(path)
    factor = 2**level
    cut = Region.of((100 // factor, 900 // factor), (301 // factor, 1100 // factor))
    np.testing.assert_array_equal(part.read(Region.from_shape(cut.shape)), store.read(cut, level))
    assert part.spec.pixel_size == (0.5 * factor, 0.5 * factor)
    start = [(lo + 0.5) * factor - 0.5 for lo in cut.start]
    assert part.spec.translation == tuple(0.5 * s for s in start)
    assert part.provenance["to_slide"] == {"scale": [factor, factor], "offset": start}
    assert part.provenance["model"] == "m"
    assert part.finished.all()


def test_a_part_of_a_result_is_never_taken_for_the_result(tmp_path: Path) -> None:
    whole = result(tmp_path / "a.ome.zarr")
    part = open_store(ns.export(whole, tmp_path / "b.ome.zarr", region=Region.of((0, 600), (0, 600))))
    assert part.spec.settings != whole.spec.settings  # without which nobody goes on with it


def test_a_region_outside_the_result_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"must lie inside the image and hold a pixel; the image is y\[0, 1200\)"):
        ns.export(result(None), tmp_path / "a.ome.tif", region=Region.of((0, 1300), (0, 100)))


def test_a_name_of_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"ends in \.ome\.zarr, \.ome\.tif or \.geojson; got 'a\.png'; choose one"):
        ns.export(result(None), tmp_path / "a.png")


@pytest.mark.parametrize("level", [0, 1])
def test_a_result_that_a_run_is_writing_is_saved_as_far_as_it_is_with_levels_that_fit(
    tmp_path: Path, level: int
) -> None:
    running = result(tmp_path / "a.ome.zarr", chunks=4)  # its coarse levels are in memory only
    path = ns.export(tmp_path / "a.ome.zarr", tmp_path / "copy.ome.zarr", level=level)
    copy = open_store(path)
    assert not copy.finished.all()
    for k, shape in enumerate(copy.info.levels.shapes):
        expected = running.read(Region.from_shape(shape), k + level)
        np.testing.assert_array_equal(copy.read(Region.from_shape(shape), k), expected)
    running.close()


def test_an_image_of_somebody_else_is_saved_with_a_pyramid(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1300, 1100, 3), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "plain.tif", pixels)
    path = ns.export(tmp_path / "plain.tif", tmp_path / "a.ome.zarr")
    yaozarrs.validate_zarr_store(str(path))
    image = ns.open_image(path)
    assert image.info.levels.shapes == ((1300, 1100), (650, 550))
    np.testing.assert_array_equal(image.read(Region.from_shape((1300, 1100))), np.moveaxis(pixels, -1, 0))


def test_the_command_line_exports_what_a_run_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result(tmp_path / "a.ome.zarr").close()
    for name in ("b.ome.tif", "b.geojson", "b.ome.zarr"):
        given = ["export", str(tmp_path / "a.ome.zarr"), str(tmp_path / name), "--region", "0:600,0:500"]
        assert cli.main(given) == 0
        assert capsys.readouterr().out.strip() == str(tmp_path / name)
    assert ns.open_image(tmp_path / "b.ome.tif").info.levels.shapes == ((600, 500),)
    assert cli.main(["export", str(tmp_path / "a.ome.zarr"), str(tmp_path / "b.geojson")]) == 7
