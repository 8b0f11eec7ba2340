"""The run as one sees it: the map of what is done, outlines of tiles in work, speed, memory, and a budget's price."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pytestqt.qtbot import QtBot
from qtpy.QtCore import QPoint, Qt

from docks import docked
from gui_fakes import FakeLive, FakePipeline, FakeReport, FakeRun
from napari_seamless._napari.layers.tile_outlines import segments
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.run.overview import coverage_of
from napari_seamless._napari.widgets import Budget
from napari_seamless._napari.widgets.coverage import CoverageMap
from napari_seamless._napari.widgets.plot import RunPlot, Sample
from napari_seamless.errors import BudgetTooSmall
from napari_seamless.geometry import Grid, Region


def started(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> FakeRun:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    return pipeline.runs[-1]


def test_the_map_shows_what_is_done_in_work_and_on_screen(qtbot: QtBot, dock, pipeline) -> None:
    assert not dock.panel.progress.map.isVisibleTo(dock)
    run = started(qtbot, dock, pipeline)
    run.land(Region.of((0, 304), (0, 400)), 1)
    run.in_work = (Region.of((304, 600), (0, 400)),)
    dock.poll()
    shown = dock.panel.progress.map.value()
    assert shown.shape == (600, 800)
    assert shown.cells[:38, :50].min() == 255
    assert not shown.cells[38:].any()
    assert shown.in_work == run.in_work
    assert shown.view is not None
    run.end()
    dock.poll()
    assert dock.panel.progress.map.value().in_work == ()


def test_a_map_of_many_chunks_is_small_and_as_full_as_they_are() -> None:
    live = FakeLive((64, 64))
    live.grid = Grid((8000, 4000), (8, 8))
    live.finished = np.zeros(live.grid.counts, bool)
    live.finished[:500, ::2] = True
    cells = coverage_of(live).cells
    assert cells.shape == (250, 250)
    assert set(np.unique(cells[:125])) == {127}
    assert not cells[125:].any()


def test_a_click_on_the_map_goes_there(qtbot: QtBot, dock, viewer, pipeline) -> None:
    viewer.layers["tissue"].scale = (0.5, 0.5)
    run = started(qtbot, dock, pipeline)
    run.land(Region.of((0, 304), (0, 400)), 1)
    dock.poll()
    plan = dock.panel.progress.map
    qtbot.mouseClick(plan, Qt.MouseButton.LeftButton, pos=QPoint(plan.width() // 4, plan.height() // 4))
    np.testing.assert_allclose(viewer.scene.camera.center[-2:], (75, 100), atol=5)


def test_a_map_that_has_not_changed_is_not_drawn_again(qtbot: QtBot) -> None:
    plan, live = CoverageMap(), FakeLive((64, 64))
    qtbot.addWidget(plan)
    drawn: list[object] = []
    plan.update = lambda: drawn.append(None)  # type: ignore[method-assign]
    for _ in range(3):
        plan.setValue(coverage_of(live))
    live.write(Region.of((0, 8), (0, 8)), 1)
    plan.setValue(coverage_of(live))
    assert len(drawn) == 2


def test_tiles_in_work_are_outlined_on_the_canvas_and_the_outline_goes_with_them(
    make_napari_viewer, qtbot: QtBot, pipeline
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.window.resize(900, 600)
    viewer.add_image(np.zeros((600, 800, 3), np.uint8), name="tissue")
    dock = docked(viewer, pipeline)
    run = started(qtbot, dock, pipeline)

    def orange() -> int:
        picture = viewer.screenshot(flash=False)[..., :3].astype(int)
        return int((np.abs(picture - (255, 194, 51)).sum(axis=-1) < 120).sum())

    assert orange() == 0
    many = len(viewer.layers)
    run.in_work = (Region.of((100, 400), (200, 600)),)
    dock.poll()
    assert orange() > 100
    assert len(viewer.layers) == many, "an outline is no layer"
    run.in_work = ()
    dock.poll()
    assert orange() == 0
    run.in_work = (Region.of((100, 400), (200, 600)),)
    dock.poll()
    viewer.window.remove_dock_widget(dock)
    assert orange() == 0


def test_an_outline_runs_along_the_edges_of_pixels_wherever_the_layer_lies(viewer) -> None:
    layer = viewer.layers["tissue"]
    layer.scale, layer.translate = (0.5, 2.0), (10, 20)
    points = segments(layer, [Region.of((0, 10), (4, 8))])
    assert points.shape == (8, 2)
    np.testing.assert_allclose(points.min(0), (20 + 3.5 * 2, 10 - 0.25))
    np.testing.assert_allclose(points.max(0), (20 + 7.5 * 2, 10 + 9.5 * 0.5))


def test_speed_and_memory_are_kept_for_the_plot_twice_a_second_at_most(qtbot: QtBot) -> None:
    plot = RunPlot()
    qtbot.addWidget(plot)
    for step in range(100):
        plot.add(Sample(step / 10, 1e6, 10**9))
    assert 18 <= len(plot.samples) <= 20
    plot.show()
    assert not plot.grab().isNull()
    plot.add(Sample(0.0, 1e6, 10**9))
    assert len(plot.samples) == 1, "another run begins"


def test_the_budget_says_what_follows_from_it_and_what_the_device_has(qtbot: QtBot, dock) -> None:
    qtbot.waitUntil(lambda: dock.poll().cost is not None and dock.snapshot.memory is not None)
    section = dock.panel.budget_section
    qtbot.waitUntil(lambda: "halo" in section.follows.text())
    assert section.follows.text().replace("\N{NO-BREAK SPACE}", " ") == (
        "tiles of 1024 px · peak 1.6 GB · halo 92 px · 1.32 × arithmetic"
    )
    assert section.there.text() == "cpu: 12.0 GB of 32.0 GB free"
    dock.panel.tile.slider.setValue(0)
    qtbot.waitUntil(lambda: dock.poll().cost.tile == 256 and "256" in section.follows.text())


def test_the_budget_slider_moves_the_tile_of_the_run(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    slider = dock.panel.budget.slider
    slider.setValue(slider.maximum())
    assert dock.panel.budget.value().bytes == pytest.approx(32e9, rel=0.1)
    qtbot.waitUntil(lambda: dock.poll() is not None and bool(run.tiles) and run.tiles[-1] == 2048)


def test_a_budget_that_is_too_small_is_put_right_by_a_button(qtbot: QtBot, dock, pipeline) -> None:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    pipeline.choice_refusal = BudgetTooSmall("the smallest tile needs 456 MB; got 100 MB", needed=456_000_000)
    dock.panel.budget.setValue(Budget(100, "MB"))
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    notice = dock.panel.notices["budget"]
    assert notice.value().action == "Use 460 MB"
    pipeline.choice_refusal = None
    notice._action.click()
    assert dock.panel.budget.value() == Budget(460, "MB")
    qtbot.waitUntil(lambda: dock.poll().problem is None)


def test_how_busy_the_device_is_is_told_where_it_is_known(qtbot: QtBot, dock, pipeline) -> None:
    run = started(qtbot, dock, pipeline)
    run.land(Region.of((0, 304), (0, 400)), 1)
    run.now = replace(run.now, utilization=0.934)
    qtbot.waitUntil(lambda: "device 93 % busy" in (dock.poll() and dock.panel.progress.caption.text()))


@pytest.mark.parametrize(
    ("report", "told"),
    [
        (FakeReport(peak=1_400_000_000), "peak 1.6 GB (1.4 GB measured)"),
        (FakeReport(growth=400_000_000), "peak 1.6 GB (process grew by 400 MB)"),
    ],
    ids=["counted on the device", "growth of the process on a CPU"],
)
def test_what_a_run_took_stands_beside_the_predicted_peak(
    qtbot: QtBot, dock, pipeline, report: FakeReport, told: str
) -> None:
    run = started(qtbot, dock, pipeline)
    run.report = report
    run.end()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished" and dock.snapshot.peak == report.peak)
    qtbot.waitUntil(lambda: dock.poll().growth == report.growth)
    text = dock.panel.budget_section.follows.text().replace("\N{NO-BREAK SPACE}", " ")
    assert told in text
    assert ("measured" in text) == (report.peak is not None)
