"""The dock at work on a fake pipeline: what a user presses, and what comes of it."""

from __future__ import annotations

import gc
from pathlib import Path

import numpy as np
import pytest
from pytestqt.qtbot import QtBot

from docks import docked
from gui_fakes import FakePipeline, FakeRun
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.run.temporary_folder import TemporaryFolder
from napari_seamless._napari.widgets import Budget, Extent, OutputChoice, TileSetting
from napari_seamless._napari.widgets.dialogs import ExportWish
from napari_seamless.errors import BudgetTooSmall, InputNotFound, NotTileable, OutputExists, SeamlessError
from napari_seamless.geometry import Region


def until(qtbot: QtBot, dock: SeamlessDock, phase: str) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == phase)


def started(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> FakeRun:
    """Presses Run and waits for the result layer."""
    until(qtbot, dock, "ready")
    dock.panel.progress.main.click()
    until(qtbot, dock, "running")
    return pipeline.runs[-1]


def test_tracing_starts_by_itself_and_does_not_block_the_window(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.gate.clear()
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: pipeline.traced == ["nuclei"])
    assert dock.poll().phase == "preparing"
    assert dock.panel.progress.status.text() == "Preparing the network for 800 × 600 px…"
    pipeline.gate.set()
    until(qtbot, dock, "ready")


def test_nothing_is_cut_off_at_the_side(qtbot: QtBot, dock, pipeline) -> None:
    until(qtbot, dock, "ready")
    assert dock.minimumSizeHint().width() >= dock.panel.minimumSizeHint().width()
    assert dock.panel.minimumSizeHint().width() < 420


def test_a_pair_of_image_and_model_is_traced_once(qtbot: QtBot, dock, pipeline) -> None:
    until(qtbot, dock, "ready")
    dock.choose_model("stain")
    until(qtbot, dock, "ready")
    dock.choose_model("nuclei")
    until(qtbot, dock, "ready")
    assert pipeline.traced == ["nuclei", "stain"]


def test_run_pressed_while_tracing_starts_the_run_afterwards(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.gate.clear()
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().phase == "preparing")
    dock.panel.progress.main.click()
    assert not dock.panel.progress.main.isEnabled()
    pipeline.gate.set()
    until(qtbot, dock, "running")
    assert len(pipeline.runs) == 1


def test_run_adds_an_empty_result_over_its_source_and_starts_with_the_view(
    qtbot: QtBot, dock, viewer, pipeline
) -> None:
    viewer.layers["tissue"].scale = (0.5, 0.5)
    viewer.layers["tissue"].translate = (10, 20)
    run = started(qtbot, dock, pipeline)
    (result,) = dock.result_layers
    assert result in viewer.layers
    assert result.name == "tissue: nuclei"
    np.testing.assert_allclose(result.data_to_world((0, 0)), (10, 20))
    np.testing.assert_allclose(result.data_to_world((599, 799)), viewer.layers["tissue"].data_to_world((599, 799)))
    assert run.options["view"] is not None
    assert run.options["whole"] is True


def test_the_main_button_pauses_and_resumes(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    assert dock.panel.progress.main.text() == "Pause"
    dock.panel.progress.main.click()
    assert run.now.state == "paused"
    assert dock.panel.progress.main.text() == "Resume"
    dock.panel.progress.main.click()
    assert run.now.state == "running"


def test_moving_theslider_changes_the_tile_of_the_run(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    dock.panel.tile.slider.setValue(0)
    assert run.tiles[-1] == 256


def test_a_smaller_budget_gives_a_smaller_tile_at_once(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    dock.panel.budget.setValue(Budget(500, "MB"))
    qtbot.waitUntil(lambda: dock.poll() is not None and bool(run.tiles) and run.tiles[-1] == 512)
    assert dock.panel.tile.value() == TileSetting(512, follows_budget=True)


def test_panning_names_the_new_view(qtbot: QtBot, dock, viewer, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    viewer.scene.camera.zoom = 8
    viewer.scene.camera.center = (100, 200)
    qtbot.waitUntil(lambda: bool(run.views) and run.views[-1] is not None and run.views[-1].shape[0] < 600)
    view = run.views[-1]
    assert view is not None
    assert view.contains(Region.of((98, 102), (198, 202)))
    many = len(run.views)
    for step in range(20):
        viewer.scene.camera.center = (100 + step, 200)
    qtbot.wait(120)
    assert 1 <= len(run.views) - many <= 3


def test_only_the_view_is_asked_for_when_whole_image_is_not_ticked(
    qtbot: QtBot, dock, pipeline, tmp_path: Path
) -> None:
    dock.panel.extent.setValue(Extent("view"))
    dock.panel.output.setValue(OutputChoice(tmp_path / "out.ome.zarr"))
    run = started(qtbot, dock, pipeline)
    assert run.options["whole"] is False
    assert run.options["output"] == tmp_path / "out.ome.zarr"


def test_a_run_without_whole_image_goes_on_at_the_next_pan(qtbot: QtBot, dock, viewer, pipeline) -> None:
    dock.panel.extent.setValue(Extent("view"))
    run = started(qtbot, dock, pipeline)
    assert run.options["follow"] is True
    run.end("finished")
    until(qtbot, dock, "following")
    many = len(run.views)
    viewer.scene.camera.center = (100, 200)
    qtbot.waitUntil(lambda: len(run.views) > many)
    dock.panel.progress.cancel.click()


def test_a_temporary_folder_goes_when_nobody_holds_it() -> None:
    folder = TemporaryFolder()
    path = folder.path
    assert path.is_dir()
    del folder
    gc.collect()
    assert not path.exists()


def test_without_a_path_the_result_goes_to_a_temporary_folder(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    folder = run.options["output"].parent
    assert folder.is_dir()
    assert run.options["budget"] is None
    assert run.options["tile"] is None


def test_progress_is_told_in_words_and_in_the_activity_dock(qtbot: QtBot, dock, pipeline) -> None:
    from napari.utils.progress import progress

    run = started(qtbot, dock, pipeline)
    run.land(Region.of((0, 512), (0, 512)), 1)
    qtbot.waitUntil(lambda: dock.poll().progress.done > 0)
    assert dock.panel.progress.caption.text() == "0.26 MP of 1.0 MP · 1.00 MP/s · 4 s left"
    assert [bar.n for bar in progress._all_instances] == [262]
    run.end()
    until(qtbot, dock, "finished")
    assert not progress._all_instances


def test_cancel_in_the_activity_dock_cancels_the_run(qtbot: QtBot, dock, pipeline) -> None:
    from napari.utils.progress import progress

    run = started(qtbot, dock, pipeline)
    assert not progress._all_instances, "its bar would come before the first pixels"
    run.land(Region.of((0, 512), (0, 512)), 1)
    qtbot.waitUntil(lambda: len(progress._all_instances) == 1)
    next(iter(progress._all_instances)).cancel()
    qtbot.waitUntil(lambda: run.now.state == "cancelled", timeout=2000)


def test_cancel_stops_the_run_and_keeps_the_layer(qtbot: QtBot, dock, viewer, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    run.land(Region.of((0, 512), (0, 512)), 1)
    dock.panel.progress.cancel.click()
    until(qtbot, dock, "cancelled")
    assert dock.result_layers[0] in viewer.layers
    assert dock.panel.progress.export.isEnabled()
    assert dock.panel.progress.main.text() == "Run"


@pytest.mark.parametrize("which", ["result", "source", "all"])
def test_removing_a_layer_stops_the_run(qtbot: QtBot, dock, viewer, pipeline, which: str) -> None:
    run = started(qtbot, dock, pipeline)
    if which == "all":
        viewer.layers.clear()
    else:
        viewer.layers.remove(dock.result_layers[0] if which == "result" else viewer.layers["tissue"])
    assert run.now.state == "cancelled"
    qtbot.waitUntil(lambda: not dock.poll().is_active)


def test_closing_the_dock_stops_the_run(qtbot: QtBot, dock, viewer, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    viewer.window.remove_dock_widget(dock)
    assert run.now.state == "cancelled"
    viewer.scene.camera.zoom = 3
    viewer.layers.clear()


def test_closing_the_viewer_stops_the_run(qtbot: QtBot, dock, viewer, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    viewer.close()
    qtbot.waitUntil(lambda: run.now.state == "cancelled")


def test_workers_are_ready_before_run_is_pressed_and_serve_every_run(qtbot: QtBot, dock, pipeline) -> None:
    until(qtbot, dock, "ready")
    qtbot.waitUntil(lambda: len(pipeline.workers) == 1)
    for other in ("stain", "nuclei"):
        run = started(qtbot, dock, pipeline)
        assert run.options["scheduler"] == "the client"
        dock.panel.progress.cancel.click()
        until(qtbot, dock, "cancelled")
        dock.choose_model(other)
    assert [w.is_open for w in pipeline.workers] == [True]


@pytest.mark.parametrize("while_running", [False, True])
def test_closing_the_dock_closes_the_workers(qtbot: QtBot, dock, viewer, pipeline, while_running: bool) -> None:
    until(qtbot, dock, "ready")
    if while_running:
        started(qtbot, dock, pipeline)
    qtbot.waitUntil(lambda: len(pipeline.workers) == 1)
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not pipeline.workers[0].is_open)


def test_workers_that_did_not_start_are_told_at_run_and_tried_again(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.workers_refusal = OSError("no port is free")
    dock = docked(viewer, pipeline)
    until(qtbot, dock, "ready")
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    assert "no port is free" in dock.panel.notices["run"].value().sentence
    pipeline.workers_refusal = None
    started(qtbot, dock, pipeline)


def test_closing_while_tracing_stops_the_tracing(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.gate.clear()
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: pipeline.traced == ["nuclei"])
    viewer.window.remove_dock_widget(dock)


REFUSALS = [
    (NotTileable("global attention at blocks.3 looks at the whole image"), "model"),
    (InputNotFound("there is no file there"), "image"),
    (BudgetTooSmall("the smallest tile needs 80 MB; got 10 MB"), "budget"),
]


@pytest.mark.parametrize(("refusal", "field"), REFUSALS, ids=["model", "image", "budget"])
def test_a_refusal_is_a_sentence_beside_its_field(
    qtbot: QtBot, viewer, pipeline, refusal: SeamlessError, field: str
) -> None:
    pipeline.refusal = refusal
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    notice = dock.panel.notices[field].value()
    assert notice is not None
    assert notice.sentence == str(refusal)[0].upper() + str(refusal)[1:]
    assert "Traceback" in notice.details
    assert not dock.panel.progress.main.isEnabled()


def test_an_output_that_exists_is_refused_beside_the_output(qtbot: QtBot, dock, pipeline) -> None:
    until(qtbot, dock, "ready")
    pipeline.start_refusal = OutputExists("something else is at out.ome.zarr")
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    assert dock.panel.notices["output"].value().sentence == "Something else is at out.ome.zarr"
    pipeline.start_refusal = None
    started(qtbot, dock, pipeline)
    assert dock.panel.notices["output"].value() is None


def test_a_long_refusal_under_advanced_squeezes_nothing_in_a_low_window(qtbot: QtBot, dock, viewer, pipeline) -> None:
    until(qtbot, dock, "ready")
    viewer.window._qt_window.show()
    viewer.window.resize(1000, 600)
    dock.panel.advanced.fold.click()
    pipeline.start_refusal = OutputExists("an output path must be free; " + "something else is there; " * 12)
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    sentence = dock.panel.notices["output"]._sentence
    qtbot.waitUntil(lambda: sentence.height() >= sentence.heightForWidth(sentence.width()) > 0)
    buttons = (dock.panel.advanced.python, dock.panel.advanced.command, dock.panel.progress.main)
    assert all(button.height() >= button.minimumSizeHint().height() for button in buttons)


def test_a_run_that_fails_says_why(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    run.end("failed", ZeroDivisionError("division by zero"))
    until(qtbot, dock, "failed")
    sentence = dock.panel.notices["run"].value().sentence
    assert sentence == "Something went wrong that should not have: ZeroDivisionError: division by zero"


def test_a_file_is_opened_in_the_background_and_chosen(qtbot: QtBot, dock, viewer) -> None:
    dock.panel.source.openRequested.emit("slide.svs")
    qtbot.waitUntil(lambda: "slide" in viewer.layers)
    assert dock.panel.source.value().key == str(viewer.layers["slide"].unique_id)
    assert dock.panel.image_section.about.text().startswith("800 × 600 px · RGB · uint8")


def test_export_saves_the_result(qtbot: QtBot, dock, pipeline, tmp_path: Path) -> None:
    run = started(qtbot, dock, pipeline)
    assert not dock.panel.progress.export.isEnabled()
    run.land(Region.of((0, 512), (0, 512)), 1)
    run.end()
    until(qtbot, dock, "finished")
    dock.panel.exportRequested.emit(ExportWish(tmp_path / "out.ome.zarr"))
    qtbot.waitUntil(lambda: dock.poll().exported is not None)
    assert run.saved == [tmp_path / "out.ome.zarr"]
    assert dock.panel.progress.status.text() == f"Exported to {tmp_path / 'out.ome.zarr'}."
