"""What of an image goes into a network, in the dock: scenes, channels, axes, and what is told of how it is stored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from napari.layers import Image
from pytestqt.qtbot import QtBot

from docks import docked
from gui_fakes import FakeNetwork, FakeSource
from napari_seamless._napari.backend import lazy_backend
from napari_seamless._napari.layers.readings import readings_of, setting_of
from napari_seamless._napari.layers.source_layer import source_layer
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.run.image_input import open_as
from napari_seamless._napari.widgets import ImageSetting
from napari_seamless.errors import InputMismatch
from napari_seamless.geometry import Region

PATIENCE = 60_000
NAMED = FakeSource(np.arange(3, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(48, 2), rgb=False)
NAMED = replace(NAMED, channel_names=("DAPI", "Actin", "Tubulin"))


def ready(qtbot: QtBot, dock: SeamlessDock) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready", timeout=PATIENCE)


def with_source(viewer: Any, source: FakeSource) -> None:
    """A viewer with the layer of a source in it."""
    viewer.add_layer(Image.create(*source_layer(source)))


def pick(combo: Any, text: str) -> None:
    combo.setCurrentIndex(combo.findText(text))
    combo.activated.emit(combo.currentIndex())


def test_channels_are_asked_for_where_their_names_do_not_say(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    pipeline.networks["nuclei"] = FakeNetwork("nuclei", channels=1, input_names=("nuclear stain",))
    viewer = make_napari_viewer()
    with_source(viewer, NAMED)
    dock = docked(viewer, pipeline)
    options = dock.panel.image_section.options
    qtbot.waitUntil(lambda: dock.poll() is not None and len(options._channels) == 1, timeout=PATIENCE)
    assert options._channels[0].currentText() == "choose…"
    pick(options._channels[0], "Tubulin")
    qtbot.waitUntil(
        lambda: dock.poll() is not None and pipeline.seen[-1].channel_names == ("Tubulin",), timeout=PATIENCE
    )
    dock.choose_model("stain")
    ready(qtbot, dock)
    assert options.isHidden(), "that one takes any number of channels"
    dock.choose_model("nuclei")
    ready(qtbot, dock)
    assert options._channels[0].currentText() == "Tubulin", "what was said for a network is remembered"


def test_channels_of_one_name_are_shown_as_matched(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    pipeline.networks["nuclei"] = FakeNetwork("nuclei", channels=2, input_names=("actin", "dapi"))
    viewer = make_napari_viewer()
    with_source(viewer, NAMED)
    dock = docked(viewer, pipeline)
    options = dock.panel.image_section.options
    qtbot.waitUntil(lambda: dock.poll() is not None and len(options._channels) == 2, timeout=PATIENCE)
    assert [combo.currentText() for combo in options._channels] == ["Actin", "DAPI"]


def test_half_a_choice_prepares_nothing_anew(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    pipeline.networks["nuclei"] = FakeNetwork("nuclei", channels=2, input_names=("a", "b"))
    viewer = make_napari_viewer()
    with_source(viewer, NAMED)
    dock = docked(viewer, pipeline)
    options = dock.panel.image_section.options
    qtbot.waitUntil(lambda: dock.poll() is not None and len(options._channels) == 2, timeout=PATIENCE)
    ready(qtbot, dock)
    pick(options._channels[0], "DAPI")
    assert dock.poll().phase == "ready"
    pick(options._channels[1], "Actin")
    qtbot.waitUntil(lambda: dock.poll() is not None and len(pipeline.seen) == 2, timeout=PATIENCE)
    assert pipeline.seen[-1].channel_names == ("DAPI", "Actin")


def test_another_scene_of_the_file_is_a_layer_of_its_own(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    pipeline.source = replace(NAMED, scenes=("left", "right"), scene="left")
    viewer = make_napari_viewer()
    dock = docked(viewer, pipeline)
    dock.open("/data/two.czi")
    options = dock.panel.image_section.options
    qtbot.waitUntil(
        lambda: dock.poll() is not None and options.questions().scenes == ("left", "right"), timeout=PATIENCE
    )
    options.sceneChosen.emit("right")
    qtbot.waitUntil(lambda: dock.poll() is not None and len(viewer.layers) == 2, timeout=PATIENCE)
    assert pipeline.opened[-1] == ("/data/two.czi", "right")
    assert [layer.name for layer in viewer.layers] == ["slide: left", "slide: right"]


def test_how_an_image_is_stored_is_told_as_soon_as_it_is_chosen(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    notices = ("slide is stored in strips", "slide holds 2 images; choose another by scene=1 (--scene 1), or its name")
    viewer = make_napari_viewer()
    with_source(viewer, replace(NAMED, notices=notices))
    dock = docked(viewer, pipeline)
    notices = dock.panel.progress.notices
    qtbot.waitUntil(lambda: dock.poll() is not None and notices.value() != (), timeout=PATIENCE)
    assert notices.text() == "Slide is stored in strips."


def test_an_array_that_can_be_read_in_two_ways_is_asked_about(qtbot: QtBot, make_napari_viewer) -> None:
    layer = Image(np.zeros((7, 40, 50), np.float32), name="stack")
    with pytest.raises(InputMismatch, match="which axis of an image is which must be known; stack has 3 axes"):
        open_as(lazy_backend(), layer, ImageSetting())
    assert open_as(lazy_backend(), layer, ImageSetting(axes="cyx")).info.channels == 7
    assert open_as(lazy_backend(), layer, ImageSetting(axes="zyx")).info.levels.shapes == ((7, 40, 50),)
    assert open_as(lazy_backend(), layer, ImageSetting((6, 2), 0.5, "cyx")).info.pixel_size == (0.5, 0.5)


def pixels(dtype: Any, channels: int | None = None) -> Any:
    """A picture whose values tell where they are."""
    rows = np.arange(64 * 48).reshape(64, 48) % 200
    return (rows if channels is None else np.stack([rows + k for k in range(channels)], -1)).astype(dtype)


LAYERS = [
    pytest.param(lambda _: pixels(np.uint16), {}, 1, id="16-bit"),
    pytest.param(lambda _: pixels(np.float32), {}, 1, id="float"),
    pytest.param(lambda _: pixels(np.uint8, 3), {"rgb": True}, 3, id="RGB"),
    pytest.param(lambda _: pixels(np.uint8, 4), {"rgb": True}, 3, id="RGBA"),
    pytest.param(lambda _: da.from_array(pixels(np.uint8), chunks=32), {}, 1, id="dask"),
    pytest.param(lambda path: zarr.array(pixels(np.uint8), chunks=(32, 32), store=path), {}, 1, id="zarr"),
    pytest.param(lambda _: [pixels(np.uint8), pixels(np.uint8)[::2, ::2]], {"multiscale": True}, 1, id="multiscale"),
]


@pytest.mark.parametrize(("make", "settings", "channels"), LAYERS)
def test_every_kind_of_layer_is_read_as_it_is(tmp_path, make, settings, channels) -> None:
    layer = Image(make(tmp_path / "a.zarr"), name="a", **settings)
    source = open_as(lazy_backend(), layer, ImageSetting(pixel_size=0.25))
    found = source.read(Region.of((3, 5), (7, 9)))
    expected = np.stack([pixels(int)[3:5, 7:9] + k for k in range(channels)])
    np.testing.assert_array_equal(found, expected.astype(source.info.dtype))
    assert source.info.pixel_size == (0.25, 0.25)


def test_axis_labels_of_a_layer_say_how_to_read_it() -> None:
    layer = Image(np.zeros((3, 40, 50)), name="time", axis_labels=("t", "y", "x"))
    assert setting_of(layer, None).axes == "tyx"
    assert "tyx" in dict(readings_of(layer))
    assert open_as(lazy_backend(), layer, setting_of(layer, None)).info.levels.shapes == ((40, 50),)
