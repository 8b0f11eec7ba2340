"""A small image of a file that was edited in the window: what is on screen is what is run and saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.backend import lazy_backend
from napari_seamless._napari.contributions import read_slide
from napari_seamless._napari.layers.readings import forget_origin, origin_of
from napari_seamless._napari.run.image_input import open_as
from napari_seamless._napari.widgets.image_options import ImageSetting
from napari_seamless._napari.writer import write_image
from napari_seamless.fingerprints import source_identity

SHAPES = {"grey": (60, 80), "colours": (60, 80, 3), "channels": (2, 60, 80)}


def file_of(folder: Path, kind: str) -> Path:
    pixels = np.random.default_rng(0).integers(1, 200, SHAPES[kind], np.uint8)
    path = folder / f"{kind}.ome.tif"
    options: dict[str, Any] = {"photometric": "rgb" if kind == "colours" else "minisblack"}
    axes = {"grey": "YX", "colours": "YXS", "channels": "CYX"}[kind]
    metadata = {"axes": axes, "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    tifffile.imwrite(path, pixels, metadata=metadata, **options)
    return path


def opened(viewer: Any, path: Path) -> Any:
    ((data, settings, kind),) = read_slide(str(path))
    return getattr(viewer, f"add_{kind}")(data, **settings)


def channels_first(layer: Any) -> NDArray[Any]:
    data = np.asarray(layer.data)
    return np.moveaxis(data, -1, 0) if layer.rgb else data.reshape(-1, *data.shape[-2:])


def seen(layer: Any) -> ns.Source:
    return open_as(lazy_backend(), layer, ImageSetting())


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("how", ["in place", "replaced"])
def test_what_is_read_of_an_edited_layer_is_on_screen(
    tmp_path: Path, make_napari_viewer: Callable[..., Any], kind: str, how: str
) -> None:
    layer = opened(make_napari_viewer(), file_of(tmp_path, kind))
    whole, before = ns.Region.of((0, 60), (0, 80)), source_identity(seen(layer), 0)
    np.testing.assert_array_equal(seen(layer).read(whole), channels_first(layer))
    if how == "in place":
        layer.data[:1] = 255
    else:
        layer.data = 255 - layer.data
    source = seen(layer)
    np.testing.assert_array_equal(source.read(whole), channels_first(layer))
    np.testing.assert_allclose(source.info.pixel_size, (0.5, 0.5))
    assert source_identity(source, 0) != before


def test_an_untouched_layer_is_its_file_even_when_that_is_written_anew(
    tmp_path: Path, make_napari_viewer: Callable[..., Any]
) -> None:
    path = file_of(tmp_path, "grey")
    layer, file = opened(make_napari_viewer(), path), ns.open_image(path)
    assert source_identity(seen(layer), 0) == source_identity(file, 0)
    shown = np.array(layer.data)
    tifffile.imwrite(path, np.zeros((60, 80), np.uint8))
    np.testing.assert_array_equal(seen(layer).read(ns.Region.of((0, 60), (0, 80)))[0], shown)


def test_a_layer_whose_pixels_were_exchanged_is_no_file_any_more_whoever_opened_it(
    tmp_path: Path, make_napari_viewer: Callable[..., Any]
) -> None:
    path = tmp_path / "grey.tif"
    tifffile.imwrite(path, np.zeros((60, 80), np.uint8))
    (layer,) = make_napari_viewer().open(str(path), plugin="napari")
    assert origin_of(layer) == str(path)
    forget_origin(layer)
    assert origin_of(layer) is None


def test_an_edited_layer_is_saved_as_it_is_on_screen(tmp_path: Path, make_napari_viewer: Callable[..., Any]) -> None:
    layer = opened(make_napari_viewer(), file_of(tmp_path, "colours"))
    layer.data[:20] = 7
    data, settings, _ = layer.as_layer_data_tuple()
    write_image(str(tmp_path / "saved.ome.tif"), data, settings)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "saved.ome.tif"), layer.data)


def test_a_second_run_in_the_window_is_of_the_pixels_that_were_edited_after_the_first(
    tmp_path: Path, make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    layer = opened(viewer, file_of(tmp_path, "grey"))
    dock = docked(viewer, None)
    network = torch.nn.Conv2d(1, 1, 3, padding=1)
    torch.export.save(torch.export.export(network, (torch.zeros(1, 1, 60, 80),)), tmp_path / "network.pt2")
    dock.load_model(tmp_path / "network.pt2")
    for value in (None, 250):
        if value is not None:
            layer.data[10:30, 10:30] = value
        qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=60_000)
        dock.run()
        qtbot.waitUntil(lambda: dock.poll().is_active, timeout=60_000)
        qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=60_000)
        (result,) = dock.result_layers
        with torch.no_grad():
            expected = network(torch.from_numpy(layer.data.astype(np.float32))[None, None])[0, 0]
        np.testing.assert_allclose(np.asarray(result.data), expected, rtol=1e-4, atol=1e-3)
    assert any("were edited since the file was opened" in notice for notice in dock.snapshot.notices)


def test_no_level_of_a_pyramid_can_be_edited_since_a_run_reads_the_file(
    tmp_path: Path, make_napari_viewer: Callable[..., Any]
) -> None:
    with tifffile.TiffWriter(tmp_path / "pyramid.ome.tif") as file:
        file.write(np.full((512, 512), 7, np.uint8), subifds=1, tile=(128, 128))
        file.write(np.full((256, 256), 7, np.uint8), subfiletype=1, tile=(128, 128))
    layer = opened(make_napari_viewer(), tmp_path / "pyramid.ome.tif")
    assert layer.multiscale
    for level in layer.data:
        with pytest.raises((ValueError, TypeError)):
            level[:10, :10] = 0
