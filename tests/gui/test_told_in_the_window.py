"""What should be known about an image, a network and a run stands in one place: before the run, after it, and later."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from napari.layers import Image
from pytestqt.qtbot import QtBot

import napari_seamless as ns
from docks import docked
from gui_fakes import FakeFound, FakeLive, FakeNetwork, FakePipeline, FakeSource
from napari_seamless._napari.contributions import read_slide
from napari_seamless._napari.layers.source_layer import source_layer
from napari_seamless._napari.measure.dock import MeasureDock
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import OutputChoice
from napari_seamless._napari.widgets.notice_list import NoticeList
from napari_seamless.runs.origin import notices_of, origin_at
from napari_seamless.runtime.engine import TorchEngine

TRAIN, STRIPS = "the network was in training mode", "slide is stored in strips"
SCENES = "slide holds 2 images; choose another by scene=1 (--scene 1), or its name"
FULL = "the device had no memory for a whole tile: at most 4096 pixels were computed at once"


@pytest.fixture
def pipeline() -> FakePipeline:
    return FakePipeline(networks={"nuclei": FakeNetwork("nuclei", notices=(TRAIN,))})


@pytest.fixture
def dock(make_napari_viewer: Callable[..., Any], pipeline: FakePipeline) -> SeamlessDock:
    viewer = make_napari_viewer()
    source = FakeSource(np.full((3, 600, 800), 200, np.uint8), notices=(STRIPS, SCENES))
    viewer.add_layer(Image.create(*source_layer(source)))
    return docked(viewer, pipeline)


def shown(dock: SeamlessDock) -> tuple[str, ...]:
    dock.poll()
    return dock.panel.progress.notices.value()


def test_those_of_image_and_network_are_there_before_the_run(qtbot: QtBot, dock: SeamlessDock) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    assert shown(dock) == (STRIPS, TRAIN)
    notices = dock.panel.progress.notices
    assert notices.fold.text() == "2 notices"
    assert notices.text() == "• Slide is stored in strips.\n• The network was in training mode."
    assert dock.panel.progress.notices.isVisibleTo(dock.panel)


def test_what_turns_out_in_the_run_is_added_and_stays(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    notices = dock.panel.progress.notices
    notices.fold.setChecked(False)
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    assert shown(dock) == (STRIPS, TRAIN)
    assert not notices.fold.isChecked(), "nothing new to read"
    run = pipeline.runs[-1]
    run.notices = (*run.notices, FULL)
    run.end()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished")
    assert shown(dock) == (STRIPS, TRAIN, FULL)
    assert notices.fold.isChecked(), "there is something new to read"


@pytest.mark.parametrize("continues", [True, False])
def test_those_of_an_earlier_result_are_there_with_it(
    qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline, continues: bool
) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    here = Path("/data/out.ome.zarr")
    pipeline.found[here] = FakeFound(here, FakeLive((600, 800)), continues=continues, notices=(TRAIN, FULL))
    dock.panel.output.setValue(OutputChoice(here))
    qtbot.waitUntil(lambda: dock.poll().found is not None)
    assert shown(dock) == (STRIPS, TRAIN, *((FULL,) if continues else ()))


def test_nothing_to_say_takes_no_room(qtbot: QtBot) -> None:
    notices = NoticeList()
    qtbot.addWidget(notices)
    notices.setValue(["one"])
    assert not notices.isHidden()
    assert notices.fold.text() == "1 notice"
    notices.setValue([])
    assert notices.isHidden()


class Weighty(torch.nn.Module):
    """A network that is handed over in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 1), torch.nn.Dropout(0.5))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x).argmax(1)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result of a network in training mode, made in two runs of which only the first met a device without memory."""
    path = tmp_path_factory.mktemp("stored") / "out.ome.zarr"
    image = np.random.default_rng(0).integers(0, 255, (3, 128, 128), np.uint8)
    model = replace(ns.load_model(Weighty().train()), kind="labels")
    prepared = ns.prepare(model, image)
    assert any("train" in notice for notice in prepared.notices)
    compute = TorchEngine.compute

    def without_memory(engine: TorchEngine, tile: Any, *rest: Any) -> Any:
        if tile.write.size > 4096:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return compute(engine, tile, *rest)

    for columns, engine in (((0, 64), without_memory), ((64, 128), compute)):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TorchEngine, "compute", engine)
            region = ns.Region.of((0, 128), columns)
            ns.start(prepared, output=path, region=region, tile=128, scheduler="serial").wait()
    return path


def test_a_result_keeps_what_every_run_on_it_told(stored: Path) -> None:
    told = notices_of(ns.open_result(stored))
    assert any("train" in notice for notice in told)
    assert FULL in told


def test_a_result_tells_it_again_when_it_is_opened(
    stored: Path, make_napari_viewer: Callable[..., Any], qtbot: QtBot, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("napari.utils.notifications.show_info", said.append)
    read_slide(str(stored))
    assert len(said) == 1, "one message, however much there is to say"
    origin = origin_at(stored)
    assert origin is not None
    for notice in origin.notices:
        assert notice in said[0]
    dock = MeasureDock(make_napari_viewer())
    qtbot.addWidget(dock)
    dock.open(stored)
    qtbot.waitUntil(lambda: bool(dock.poll() and dock.panel.notices.value()))
    assert dock.panel.notices.value() == origin.notices
