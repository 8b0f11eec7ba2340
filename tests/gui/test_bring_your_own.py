"""A network of one's own, from a file to a run, in the dock on a fake pipeline; and twice with the real one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication
from safetensors.torch import save_file

import napari_seamless as ns
from docks import docked
from gui_fakes import CLASSES, FakeNetwork, FakePipeline, FakeResolution, FakeTiming
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import Extent, SourceChoice
from napari_seamless._napari.widgets.dialogs import ArchitectureDialog, PixelSizeDialog, TrustDialog
from napari_seamless.errors import ModelError, NameArchitecture, NotTrusted, WeightsMismatch
from napari_seamless.models.networks.unet import UNet

PATIENCE = 60_000
NET = "/data/net.pt"
UNKNOWN = WeightsMismatch("net.pt: the names differ", remedies=(NameArchitecture(),))


def question(name: str = "net.pt") -> NotTrusted:
    return NotTrusted("it would run code", file=Path(name), runs="the Python objects in it", sha256="ab" * 32)


def ready(qtbot: QtBot, dock: SeamlessDock) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready", timeout=PATIENCE)


def asked(qtbot: QtBot, dock: SeamlessDock, kind: type) -> object:
    """Waits for a question of that kind."""
    qtbot.waitUntil(lambda: dock.poll() is not None and bool(dock.findChildren(kind)), timeout=PATIENCE)
    return dock.findChildren(kind)[-1]


def chosen(qtbot: QtBot, dock: SeamlessDock, name: str) -> None:
    qtbot.waitUntil(lambda: dock.poll() is not None and dock.panel.model.value().name == name, timeout=PATIENCE)


def test_a_file_that_loads_joins_the_list_and_is_chosen_and_loaded_once(qtbot: QtBot, dock, pipeline) -> None:
    ready(qtbot, dock)
    dock.panel.model.loadRequested.emit(NET)
    chosen(qtbot, dock, NET)
    ready(qtbot, dock)
    assert dock.panel.model.shown() == "net.pt"
    assert pipeline.traced == ["nuclei", "net"]
    dock.choose_model("nuclei")
    dock.choose_model(NET)
    ready(qtbot, dock)
    assert pipeline.loaded == [("nuclei", None, None), (NET, None, None)]


def test_code_runs_only_after_a_yes_and_a_no_changes_nothing(qtbot: QtBot, dock, pipeline) -> None:
    pipeline.load_refusals[NET] = question()
    ready(qtbot, dock)
    before = dock.panel.model.options(), dock.panel.model.value(), dock.snapshot.phase, dock.snapshot.prepared
    dock.panel.model.loadRequested.emit(NET)
    asked(qtbot, dock, TrustDialog).no.click()
    qtbot.wait(200)
    now = dock.poll()
    assert (dock.panel.model.options(), dock.panel.model.value(), now.phase, now.prepared) == before
    assert not pipeline.trusted
    dock.panel.model.loadRequested.emit(NET)
    asked(qtbot, dock, TrustDialog).yes.click()
    chosen(qtbot, dock, NET)
    assert pipeline.trusted == [pipeline.load_refusals[NET]]


def test_weights_alone_ask_for_their_architecture_until_it_fits(qtbot: QtBot, dock, pipeline) -> None:
    pipeline.load_refusals = {NET: UNKNOWN, f"{NET} other": WeightsMismatch("net.pt: 3 missing (a, b, c)")}
    ready(qtbot, dock)
    dock.panel.model.loadRequested.emit(NET)
    dialog = asked(qtbot, dock, ArchitectureDialog)
    dialog.architecture.setText("other")
    dialog.load.click()
    qtbot.waitUntil(lambda: dock.poll() is not None and not dialog.refusal.isHidden(), timeout=PATIENCE)
    assert dialog.refusal.toPlainText() == "net.pt: 3 missing (a, b, c)"
    qtbot.waitUntil(lambda: dock.poll() is not None and bool(dock._inputs.loader._names), timeout=PATIENCE)
    dialog.architecture.setText("unet")
    dialog.architecture.editingFinished.emit()
    qtbot.waitUntil(
        lambda: dock.poll() is not None and set(dialog.form._lines) == {"outputs", "depth"}, timeout=PATIENCE
    )
    dialog.form._lines["outputs"].setText("2")
    dialog.form._lines["outputs"].textEdited.emit("2")
    dialog.load.click()
    chosen(qtbot, dock, f'{NET} as unet {{"outputs": 2}}')
    assert pipeline.loaded[-1] == (NET, "unet", {"outputs": 2})
    assert dock.panel.model.shown() == "net.pt (unet)"


def test_loading_does_not_block_and_can_be_given_up(qtbot: QtBot, dock, pipeline) -> None:
    ready(qtbot, dock)
    pipeline.load_gate.clear()
    dock.panel.model.loadRequested.emit(NET)
    qtbot.waitUntil(lambda: bool(pipeline.loaded) and pipeline.loaded[-1][0] == NET, timeout=PATIENCE)
    assert dock.panel.model._busy.text() == "Loading net.pt…"
    dock.panel.model._stop.click()
    assert dock.panel.model._busy.isHidden()
    pipeline.load_gate.set()
    qtbot.wait(200)
    dock.poll()
    assert dock.panel.model.value().name == "nuclei"


def test_what_cannot_be_loaded_is_a_sentence_with_details_and_the_choice_stays(qtbot: QtBot, dock, pipeline) -> None:
    pipeline.load_refusals["/data/net.onnx"] = ModelError("networks are read as torch writes them")
    ready(qtbot, dock)
    dock.panel.model.loadRequested.emit("/data/net.onnx")
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=PATIENCE)
    notice = dock.panel.notices["model"].value()
    assert notice.sentence == "Networks are read as torch writes them"
    assert notice.details.startswith("ModelError: networks are read")
    assert dock.panel.model.value().name == "nuclei"
    assert dock.panel.progress.main.isEnabled()


def test_a_network_that_asks_can_be_decided_about_from_its_notice(qtbot: QtBot, dock, pipeline) -> None:
    pipeline.load_refusals[NET] = question()
    ready(qtbot, dock)
    dock.choose_model(NET)
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=PATIENCE)
    notice = dock.panel.notices["model"]
    assert notice._action.text() == "Decide…"
    notice._action.click()
    asked(qtbot, dock, TrustDialog).yes.click()
    ready(qtbot, dock)
    assert pipeline.traced[-1] == "net"


def test_a_network_is_kept_among_the_users_own(qtbot: QtBot, dock, pipeline, tmp_path: Path) -> None:
    path = tmp_path / "mine.pt2"
    path.touch()
    ready(qtbot, dock)
    card = dock.panel.model_section.card
    assert card._keep.isHidden(), "it is in the list already"
    dock.panel.model.loadRequested.emit(str(path))
    chosen(qtbot, dock, str(path))
    assert not card._keep.isHidden()
    card._keep.click()
    chosen(qtbot, dock, "mine")
    assert pipeline.added == ["mine"], "under the network's own name"
    assert [option.name for option in dock.panel.model.options()] == ["nuclei", "stain", "mine"]


@pytest.mark.filterwarnings("ignore:Function. 'QDragEnterEvent:DeprecationWarning")  # PySide6's way to make one
def test_files_dropped_on_the_dock_go_where_they_belong(qtbot: QtBot, dock, pipeline, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("schema = 1")
    ready(qtbot, dock)
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(recipe)), QUrl.fromLocalFile("/data/slide.svs")])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    copy = Qt.DropAction.CopyAction
    enter, event = (
        QDragEnterEvent(QPoint(5, 5), copy, data, buttons, keys),
        QDropEvent(QPointF(5, 5), copy, data, buttons, keys),
    )
    QApplication.sendEvent(dock, enter)
    assert enter.isAccepted()
    QApplication.sendEvent(dock, event)
    assert event.isAccepted()
    chosen(qtbot, dock, str(tmp_path))
    qtbot.waitUntil(lambda: dock.poll() is not None and ("/data/slide.svs", None) in pipeline.opened, timeout=PATIENCE)


def test_a_pixel_size_is_asked_for_and_remembered_for_the_layer(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.networks["nuclei"] = FakeNetwork("nuclei", resolution=FakeResolution())
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=PATIENCE)
    notice = dock.panel.notices["image"]
    assert notice._action.text() == "Set pixel size…"
    notice._action.click()
    dialog = asked(qtbot, dock, PixelSizeDialog)
    dialog.amount.setValue(0.25)
    dialog._take()
    ready(qtbot, dock)
    assert pipeline.seen[-1].pixel_size == (0.25, 0.25)
    match = dock.panel.model_section.match.value()
    assert match.sentence.startswith("Model 0.5 µm/px, image 0.25: the image is resampled to 0.50 of its size")
    viewer.add_image(np.zeros((600, 800, 3), np.uint8), name="other")
    dock.panel.source.setValue(SourceChoice(str(viewer.layers["other"].unique_id)))
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=PATIENCE)
    dock.panel.source.setValue(SourceChoice(str(viewer.layers["tissue"].unique_id)))
    ready(qtbot, dock)


def test_the_card_of_a_network_is_there_without_any_image(qtbot: QtBot, make_napari_viewer, pipeline) -> None:
    held_out = {"all": {"images": 9, "dice": 0.891}}
    pipeline.networks["nuclei"] = FakeNetwork(
        "nuclei", channels=3, card={"licence": "BSD-3-Clause", "held_out": held_out}
    )
    dock = docked(make_napari_viewer(), pipeline)
    card = dock.panel.model_section.card
    qtbot.waitUntil(lambda: dock.poll() is not None and card.value() is not None, timeout=PATIENCE)
    rows = dict(card.value().rows)
    assert rows["Wants"] == "3 channels, planes"
    assert rows["Held out"] == "all: dice 0.891 (9 images)"
    assert [swatch.colour for swatch in card.value().classes] == [c.colour for c in CLASSES]


def test_how_long_it_may_take_is_told_when_all_is_quiet(qtbot: QtBot, dock, viewer, pipeline) -> None:
    ready(qtbot, dock)
    speed = dock.panel.model_section.speed
    qtbot.waitUntil(lambda: dock.poll() is not None and speed.text() != "", timeout=PATIENCE)
    assert speed.text() == "The whole image: less than a second (from one tile of 256 px timed on cpu)."
    dock.panel.extent.setValue(Extent("shapes"))
    dock.draw()
    viewer.layers["where to run"].add(np.array([(0, 0), (0, 400), (300, 400), (300, 0)]), shape_type="rectangle")
    pipeline.timing = FakeTiming(1e-4, is_least=True)
    dock.choose_model("stain")
    ready(qtbot, dock)
    told = "What is drawn: at least about 12 s, without its passes of measuring (from one tile of 256 px timed on cpu)."
    qtbot.waitUntil(lambda: dock.poll() is not None and speed.text() == told, timeout=PATIENCE)
    for other in ("nuclei", "stain"):
        dock.choose_model(other)
        ready(qtbot, dock)
        qtbot.waitUntil(lambda: dock.poll() is not None and speed.text() != "", timeout=PATIENCE)
    assert len(pipeline.timed) == 2, "each network is timed once"


def test_results_of_one_network_stay_when_another_is_chosen(qtbot: QtBot, dock, viewer, pipeline) -> None:
    ready(qtbot, dock)
    for name in ("nuclei", "stain"):
        dock.choose_model(name)
        ready(qtbot, dock)
        dock.panel.progress.main.click()
        qtbot.waitUntil(lambda: dock.poll().phase == "running", timeout=PATIENCE)
        pipeline.runs[-1].end()
        qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=PATIENCE)
    assert {"tissue: nuclei", "tissue: stain"} <= {layer.name for layer in viewer.layers}


@pytest.fixture
def real(make_napari_viewer, monkeypatch, tmp_path: Path) -> SeamlessDock:
    monkeypatch.setenv("NAPARI_SEAMLESS_DATA", str(tmp_path / "user"))
    viewer = make_napari_viewer()
    viewer.add_image(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8), name="tissue")
    return docked(viewer, None)


def test_weights_and_an_architecture_are_loaded_kept_and_run(qtbot: QtBot, real, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = UNet(inputs=3, outputs=2, widths=(4, 8)).eval()
    path = tmp_path / "mine.safetensors"
    save_file(network.state_dict(), path)
    real.load_model(path)
    dialog = asked(qtbot, real, ArchitectureDialog)
    dialog.architecture.setText("unet")
    dialog.arguments.setText('{"inputs": 1, "outputs": 2, "widths": [4, 8]}')
    dialog.load.click()
    qtbot.waitUntil(lambda: real.poll() is not None and not dialog.refusal.isHidden(), timeout=PATIENCE)
    assert "is 4 x 3 x 3 x 3 and not 4 x 1 x 3 x 3" in dialog.refusal.toPlainText()
    dialog.arguments.setText('{"inputs": 3, "outputs": 2, "widths": [4, 8]}')
    dialog.keep.setChecked(True)
    dialog.load.click()
    chosen(qtbot, real, "mine")
    qtbot.waitUntil(lambda: real.poll().phase == "ready", timeout=PATIENCE)
    real.run()
    qtbot.waitUntil(lambda: real.poll().phase == "finished", timeout=PATIENCE)
    picture = real._viewer.layers["tissue"].data
    with torch.inference_mode():
        expected = network(torch.from_numpy(picture.transpose(2, 0, 1).copy()).float()[None])[0].numpy()
    shown = np.stack([np.asarray(layer.data[0] if layer.multiscale else layer.data) for layer in real.result_layers])
    np.testing.assert_allclose(shown, expected, atol=1e-4)
    assert "mine" in ns.model_names()


def test_a_pickled_module_is_asked_about_and_then_prepared(qtbot: QtBot, real, tmp_path: Path) -> None:
    path = tmp_path / "whole.pt"
    torch.save(torch.nn.Conv2d(3, 2, 3, padding=1), path)
    real.load_model(path)
    dialog = asked(qtbot, real, TrustDialog)
    assert "the Python objects in it (a pickled module)" in dialog.question.text()
    dialog.no.click()
    qtbot.wait(100)
    assert real.panel.model.value().name != str(path)
    real.load_model(path)
    asked(qtbot, real, TrustDialog).yes.click()
    chosen(qtbot, real, str(path))
    qtbot.waitUntil(lambda: real.poll().phase == "ready", timeout=PATIENCE)
    assert real.poll().problem is None


def test_a_pipeline_is_asked_for_a_network_once_however_many_ask(pipeline: FakePipeline) -> None:
    from napari_seamless._napari.run.network_cache import LoadRequest, NetworkCache

    shelf = NetworkCache(pipeline)
    assert shelf.load("nuclei") is shelf.load("nuclei")
    assert len(pipeline.loaded) == 1
    assert shelf.fetch(LoadRequest("nuclei")) is shelf.load("nuclei")
    assert len(pipeline.loaded) == 2, "fetch reads the file as it is now"
