"""What napari's manifest promises is there."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import tifffile
from npe2 import PluginManager, PluginManifest
from pytestqt.qtbot import QtBot

from napari_seamless.io.readers import formats as image_formats
from napari_seamless.io.writers import formats as output_formats

PACKAGED = Path(str(files("napari_seamless") / "napari.yaml"))


@pytest.fixture
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PACKAGED)


def test_every_command_of_the_manifest_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()
    assert manifest.name == "napari-seamless"


def test_napari_finds_the_manifest_of_the_installed_package() -> None:
    assert PluginManifest.from_distribution("napari-seamless").contributions.widgets


def test_slides_are_ours_to_read_and_plain_pictures_are_not(manifest: PluginManifest) -> None:
    manager = PluginManager()
    manager.register(manifest)
    assert [r.command for r in manager.iter_compatible_readers(["a.svs"])] == ["napari-seamless.get_reader"]
    assert not list(manager.iter_compatible_readers(["a.png"]))


def test_napari_offers_the_suffixes_of_the_table_of_image_formats(manifest: PluginManifest) -> None:
    (reader,) = manifest.contributions.readers
    assert reader.filename_patterns == [f"*{suffix}" for one in image_formats.FORMATS for suffix in one.in_napari]


def test_napari_offers_to_save_what_the_table_of_output_formats_holds(manifest: PluginManifest) -> None:
    offered = [
        (w.display_name, tuple(w.filename_extensions), tuple(str(kind) for kind in w.layer_types), w.command)
        for w in manifest.contributions.writers
    ]
    assert offered == [
        (one.title, one.suffixes, (kind,), f"napari-seamless.write_{kind}")
        for one in output_formats.FORMATS
        for kind in one.kinds
    ]


def test_a_list_of_files_is_left_to_others() -> None:
    from napari_seamless._napari.contributions import get_reader

    assert get_reader(["a.svs", "b.svs"]) is None


def test_the_sample_slide_opens_as_one_colour_layer() -> None:
    from napari_seamless._napari.contributions import sample_slide

    ((data, settings, kind),) = sample_slide()
    assert kind == "image"
    assert settings["rgb"] is True
    finest = data[0] if settings["multiscale"] else data
    assert finest.shape == (2967, 2220, 3)
    assert np.asarray(finest[1500:1510, 1000:1010]).std() > 0


def test_the_immunohistochemistry_sample_is_a_colour_image() -> None:
    from napari_seamless._napari.contributions import sample_ihc

    ((data, settings, _),) = sample_ihc()
    assert (data.shape, settings["rgb"]) == ((512, 512, 3), True)


def test_the_gigapixel_sample_is_made_where_one_looks() -> None:
    from napari_seamless._napari.contributions import sample_gigapixel

    ((data, settings, _),) = sample_gigapixel()
    assert data[0].shape == (50_000, 50_000, 3)
    assert settings["multiscale"]
    assert np.asarray(data[0][49_000:49_010, 49_000:49_010]).std() > 0


def test_a_slide_tells_how_it_is_stored(tmp_path: Path) -> None:
    from napari.utils.notifications import notification_manager

    from napari_seamless._napari.contributions import read_slide

    path = tmp_path / "two.ome.tif"
    with tifffile.TiffWriter(path, ome=True) as tiff:
        for k in range(2):
            tiff.write(np.full((40, 50), k, np.uint8), tile=(16, 16), metadata={"axes": "YX", "Name": f"scene {k}"})
    with notification_manager:
        read_slide(str(path))
        assert "two.ome.tif holds 2 images; this is 'scene 0'" in notification_manager.records[-1].message


def large_slide(path: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A file of one level of 1200 x 1300 that is taken for a large one."""
    from napari_seamless.io.readers import coarse_levels

    monkeypatch.setattr(coarse_levels, "NEEDED", 1_000_000)
    pixels = np.add.outer(np.arange(1200), np.arange(1300)).astype(np.uint8)
    colours = np.stack([pixels, 255 - pixels, pixels // 2], axis=-1)
    tifffile.imwrite(path, colours, tile=(128, 128), compression="zlib", photometric="rgb")
    return colours


def test_a_large_slide_without_a_pyramid_fills_in_while_it_is_shown(
    make_napari_viewer, qtbot: QtBot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari.layers import Layer

    from napari_seamless._napari.contributions import read_slide

    colours = large_slide(tmp_path / "large.svs", monkeypatch)
    viewer = make_napari_viewer()
    layer = viewer.add_layer(Layer.create(*read_slide(str(tmp_path / "large.svs"))[0]))
    shown: list[bool] = []
    layer.events.set_data.connect(lambda: shown.append(True))
    assert layer.level_shapes.tolist() == [[1200, 1300], [600, 650]]
    exact = colours.reshape(600, 2, 650, 2, 3).astype(int).sum(axis=(1, 3))
    qtbot.waitUntil(lambda: bool((abs(layer.data[1].astype(int) - exact / 4) <= 0.5).all()), timeout=20_000)
    qtbot.waitUntil(lambda: bool(shown), timeout=5000)


def test_napari_opens_the_dock_on_its_restricted_viewer(make_napari_viewer, qtbot: QtBot) -> None:
    from napari.utils._proxies import PublicOnlyProxy

    from gui_fakes import FakePipeline
    from napari_seamless._napari.run.dock import SeamlessDock

    viewer = make_napari_viewer()
    viewer.add_image(np.full((600, 800, 3), 40, np.uint8))
    dock = SeamlessDock(PublicOnlyProxy(viewer), FakePipeline())
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    viewer.window.remove_dock_widget(dock)
