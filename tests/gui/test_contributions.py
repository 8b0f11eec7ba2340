"""What napari's manifest promises is there."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from npe2 import PluginManager, PluginManifest
from pytestqt.qtbot import QtBot

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


def test_napari_opens_the_dock_on_its_restricted_viewer(make_napari_viewer, qtbot: QtBot) -> None:
    from gui_fakes import FakePipeline
    from napari.utils._proxies import PublicOnlyProxy

    from napari_seamless._napari.dock import SeamlessDock

    viewer = make_napari_viewer()
    viewer.add_image(np.full((600, 800, 3), 40, np.uint8))
    dock = SeamlessDock(PublicOnlyProxy(viewer), FakePipeline())
    viewer.window.add_dock_widget(dock)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready", timeout=3000)
    viewer.window.remove_dock_widget(dock)
