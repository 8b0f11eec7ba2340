"""What is at the output path already, and what could not be read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from gui_fakes import FakeFound, FakeLive, FakePipeline, FakeReport
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import OutputChoice
from napari_seamless.geometry import Region
from napari_seamless.runs.existing_output import existing_output_at

HERE = Path("/data/out.ome.zarr")


def look(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline, **facts: object) -> str:
    live = FakeLive((600, 800))
    live.write(Region.of((0, 304), (0, 400)), 1)
    pipeline.found[HERE] = FakeFound(HERE, live, **facts)
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.output.setValue(OutputChoice(HERE))
    qtbot.waitUntil(lambda: dock.poll().found is not None)
    remark = dock.panel.advanced.found.value()
    assert remark is not None
    assert dock.panel.advanced.fold.isChecked()
    return remark.sentence


def test_a_result_at_the_output_path_is_shown_and_going_on_is_offered(qtbot: QtBot, dock, viewer, pipeline) -> None:
    assert look(qtbot, dock, pipeline) == "A result is there, 43% done, and shown. Run goes on with it."
    layer = viewer.layers["tissue: nuclei"]
    assert np.asarray(layer.data[0] if layer.multiscale else layer.data)[100, 100] == 1
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    assert pipeline.runs[-1].options["output"] == HERE
    assert dock.result_layers == [layer], "the same layer goes on filling"


def test_the_result_of_something_else_is_said_to_be_so(qtbot: QtBot, dock, viewer, pipeline) -> None:
    assert "another network or image" in look(qtbot, dock, pipeline, continues=False)
    assert len(viewer.layers) == 1


def test_an_empty_path_has_nothing_to_say(qtbot: QtBot, dock, pipeline) -> None:
    look(qtbot, dock, pipeline)
    dock.panel.output.setValue(OutputChoice())
    qtbot.waitUntil(lambda: dock.poll().found is None)
    assert dock.panel.advanced.found.value() is None


def test_what_could_not_be_read_is_told_and_marked_on_the_map(qtbot: QtBot, dock, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    run = pipeline.runs[-1]
    gone = Region.of((0, 304), (400, 800))
    run.land(Region.of((0, 304), (0, 400)), 1)
    run.now, run.report = replace(run.now, failed=gone.size), FakeReport(failed=(gone,))
    run.end()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished" and bool(dock.snapshot.failed))
    assert "0.12 MP of the result were left out in 1 places" in dock.panel.progress.failed.value().sentence
    assert dock.panel.progress.map.value().failed == (gone,)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, np.ndarray]:
    path = tmp_path_factory.mktemp("found") / "out.ome.zarr"
    image = np.random.default_rng(0).integers(0, 255, (256, 320, 3), np.uint8)
    ns.run("stain", image, tile=64, scheduler="serial", output=path, region=ns.Region.of((0, 128), (0, 320)))
    return path, image


def test_a_path_is_looked_into_without_being_changed(result: tuple[Path, np.ndarray], tmp_path: Path) -> None:
    path, image = result
    found = existing_output_at(path, ns.prepare("stain", image))
    assert found is not None
    assert (found.fraction, found.continues) == (0.5, True)
    other = existing_output_at(path, ns.prepare("stain", image[:, ::-1].copy()))
    assert other is not None
    assert not other.continues
    (tmp_path / "notes.txt").write_text("mine")
    assert existing_output_at(tmp_path, ns.prepare("stain", image)) is None
    assert existing_output_at(tmp_path / "nothing", ns.prepare("stain", image)) is None
