"""Results in a real napari: saved by its own menu, and opened again by dropping them in."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import yaozarrs

import napari_seamless as ns
from napari_seamless.geometry import Region, cells_of
from napari_seamless.interfaces import LabelClass
from napari_seamless.io.readers.samples import sample_slide
from napari_seamless.store import Store, StoreSpec, create_store, open_store

pytestmark = [
    pytest.mark.gui,
    pytest.mark.skipif(
        sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")),
        reason="needs a display: run under xvfb-run",
    ),
]
CLASSES = (LabelClass(0, "background", "#000000"), LabelClass(1, "nucleus", "#ff8000"))


@pytest.fixture
def viewer(make_napari_viewer: Any) -> Any:
    return make_napari_viewer()


def result(path: Path | None, **more: Any) -> Store:
    facts: dict[str, Any] = {"channels": None, "dtype": np.uint8, "kind": "labels", "classes": CLASSES, **more}
    spec = StoreSpec((1200, 1100), source_identity="s", program_hash="p", name="nuclei", **facts)
    store = create_store(path, spec)
    for cell in cells_of(Region.from_shape(spec.grid.counts)):
        region = spec.grid.region(cell)
        store.write(region, np.full((spec.channels or 1, *region.shape), sum(cell) % 2, spec.dtype))
        store.commit(region)
    return store


def shown(viewer: Any, store: Store) -> Any:
    from napari_seamless._napari.layers.live_layers import ResultLayers

    layers = ResultLayers(viewer, store, "mine", {})
    layers.finish()
    return layers.layers


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif", "a.geojson"])
def test_napari_saves_a_result_with_its_classes(viewer: Any, tmp_path: Path, name: str) -> None:
    (layer,) = shown(viewer, result(None))
    assert viewer.layers.save(str(tmp_path / name)) == [str(tmp_path / name)]
    path = tmp_path / name
    if name.endswith("zarr"):
        yaozarrs.validate_zarr_store(str(path))
        assert open_store(path).classes == CLASSES
    elif name.endswith("tif"):
        with tifffile.TiffFile(path) as file:
            assert len(file.series[0].levels) == 2
    else:
        names = {f["properties"]["classification"]["name"] for f in json.loads(path.read_text())["features"]}
        assert names == {"nucleus"}
    assert layer.name == "mine"


def test_a_result_in_colours_is_saved_without_the_transparency_it_is_shown_with(viewer: Any, tmp_path: Path) -> None:
    facts = {"channels": 3, "kind": "image", "channel_names": ("red", "green", "blue"), "classes": ()}
    shown(viewer, result(None, **facts))
    viewer.layers.save(str(tmp_path / "a.ome.zarr"))
    assert open_store(tmp_path / "a.ome.zarr").spec.channels == 3


def test_any_layer_is_saved_with_its_pyramid_and_scale(viewer: Any, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (1300, 1100), dtype=np.uint8)
    viewer.add_image([pixels, pixels[::2, ::2]], multiscale=True, scale=(0.5, 0.5), units="um", name="theirs")
    viewer.layers.save(str(tmp_path / "a.ome.tif"), plugin="napari-seamless")
    image = ns.open_image(tmp_path / "a.ome.tif")
    assert (image.info.pixel_size, image.info.levels.shapes) == ((0.5, 0.5), ((1300, 1100), (650, 550)))
    np.testing.assert_array_equal(image.read(Region.from_shape((1300, 1100)))[0], pixels)


def test_labels_of_somebody_else_are_saved_as_labels(viewer: Any, tmp_path: Path) -> None:
    labels = np.zeros((64, 64), np.int32)
    labels[5:9, 5:9] = 7
    viewer.add_labels(labels, name="by hand")
    viewer.layers.save(str(tmp_path / "a.geojson"))
    (feature,) = json.loads((tmp_path / "a.geojson").read_text())["features"]
    assert feature["properties"]["classification"]["name"] == "class 7"
    viewer.layers.save(str(tmp_path / "a.ome.zarr"), plugin="napari-seamless")
    assert open_store(tmp_path / "a.ome.zarr").kind == "labels"


@pytest.mark.parametrize("level", [0, 1])
def test_a_result_dropped_into_napari_lies_over_its_slide(viewer: Any, tmp_path: Path, level: int) -> None:
    """napari-ome-zarr 0.10 reads scales and units, but no translations."""
    import napari_seamless as ns

    path = tmp_path / "a.ome.zarr"
    ns.export(result(None, pixel_size=(0.499, 0.499), unit="micrometer"), path, level=level)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("napari_ome_zarr")
        viewer.open(str(path), plugin="napari-ome-zarr")
    viewer.open(str(sample_slide()), plugin="napari-seamless")
    labels = next(layer for layer in viewer.layers if layer._type_string == "labels")
    slide = viewer.layers[-1]
    np.testing.assert_allclose(labels.data_to_world((100, 50)), slide.data_to_world((100 << level, 50 << level)))
    assert str(labels.units[-1]) == str(slide.units[-1]) == "micrometer"
