"""A slide that napari or another plugin opened is a plain array of pixels: its file still says how large they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from napari_seamless._napari.backend import lazy_backend
from napari_seamless._napari.run.image_input import open_as
from napari_seamless._napari.widgets.image_options import ImageSetting

TOLD = "the layer of 'slide' does not state its pixel size: 0.499 um is taken from its file"


@pytest.fixture
def slide(tmp_path: Path) -> Path:
    path = tmp_path / "slide.tif"
    pixels = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    said = "Aperio Image Library v11.2.1 \r\n128x96 [0,0 128x96] (64x64) JPEG/RGB Q=70|AppMag = 20|MPP = 0.4990"
    tifffile.imwrite(path, pixels, photometric="rgb", tile=(64, 64), description=said, metadata=None)
    assert ns.open_image(path).info.pixel_size == pytest.approx((0.499, 0.499))
    return path


def opened(viewer: Any, path: Path) -> Any:
    """As File > Open does with napari's own reader."""
    (layer,) = viewer.open(path, plugin="napari")
    return layer


def seen(layer: Any, size: float | None = None) -> ns.ImageInfo:
    return open_as(lazy_backend(), layer, ImageSetting(pixel_size=size)).info


def test_the_pixel_size_is_taken_from_the_file_and_told(slide: Path, make_napari_viewer: Callable[..., Any]) -> None:
    layer = opened(make_napari_viewer(), slide)
    assert seen(layer).pixel_size == pytest.approx((0.499, 0.499))
    assert seen(layer).notices == (TOLD,)


def test_what_a_person_or_the_layer_says_goes_first(slide: Path, make_napari_viewer: Callable[..., Any]) -> None:
    layer = opened(make_napari_viewer(), slide)
    assert seen(layer, 0.25).pixel_size == (0.25, 0.25)
    assert seen(layer, 0.25).notices == ()
    layer.scale, layer.units = (0.3, 0.3), ("um", "um")
    assert seen(layer).pixel_size == pytest.approx((0.3, 0.3))
    assert seen(layer).notices == ()


@pytest.mark.parametrize("change", ["other pixels", "file gone"])
def test_a_file_that_is_not_that_image_says_nothing(
    slide: Path, make_napari_viewer: Callable[..., Any], change: str
) -> None:
    layer = opened(make_napari_viewer(), slide)
    if change == "file gone":
        slide.unlink()
    else:
        layer.data = layer.data[:50]
    assert seen(layer).pixel_size is None
    assert seen(layer).notices == ()


def test_the_dock_shows_the_size_and_where_it_comes_from(
    slide: Path, make_napari_viewer: Callable[..., Any], qtbot: QtBot
) -> None:
    viewer = make_napari_viewer()
    opened(viewer, slide)
    dock = docked(viewer, None)
    qtbot.waitUntil(lambda: dock.poll() is not None and bool(dock.panel.progress.notices.value()), timeout=60_000)
    assert dock.panel.progress.notices.value() == (TOLD,)
    assert "0.499" in dock.panel.image_section.about.text()
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=60_000)
    assert dock.panel.progress.notices.value() == (TOLD,), "nobody edited it"
