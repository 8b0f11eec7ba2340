"""The first look at a result that is still being measured: when it comes, what it shows, and when it goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytestqt.qtbot import QtBot
from qtpy.QtWidgets import QDockWidget

from docks import docked
from gui_fakes import FakeCheck, FakeLive, FakePipeline, FakeReport, FakeRun
from napari_seamless._napari.layers.badge import KEY
from napari_seamless._napari.layers.live_layers import FACTS, ResultLayers
from napari_seamless._napari.layers.preview_layers import SIGN, uncovered
from napari_seamless._napari.layers.uncovered_preview import UncoveredPreview
from napari_seamless._napari.run.dock import SeamlessDock
from napari_seamless._napari.widgets import Extent
from napari_seamless.errors import NotTileable, RunApproximately
from napari_seamless.geometry import Region

EVERYTHING = Region.of((0, 600), (0, 800))
TOP, BOTTOM = Region.of((0, 304), (0, 800)), Region.of((304, 600), (0, 800))
REFUSAL = NotTileable("global attention at blocks.3", remedies=(RunApproximately(),))


@pytest.fixture
def painter() -> FakePipeline:
    return FakePipeline(kind="image", channels=3)


@pytest.fixture
def dock(viewer: Any, painter: FakePipeline) -> SeamlessDock:
    return docked(viewer, painter)


def started(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> FakeRun:
    qtbot.waitUntil(lambda: dock.poll().phase == "ready")
    dock.panel.progress.main.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    return pipeline.runs[-1]


def previewed(qtbot: QtBot, dock: SeamlessDock, pipeline: FakePipeline) -> tuple[FakeRun, FakeRun]:
    """A run in its third pass, and its preview, of which all pixels are on screen."""
    run = started(qtbot, dock, pipeline)
    first = run.begin_preview(3)
    first.land(EVERYTHING, 200)
    first.end("finished")
    dock.poll()
    return run, first


def preview_layers(viewer: Any) -> list[Any]:
    return [layer for layer in viewer.layers if layer.metadata.get(FACTS, {}).get("preview")]


def sign(viewer: Any) -> str | None:
    """What the badge says on the canvas."""
    overlay = viewer.canvas.overlays.get(KEY)
    return overlay.text if overlay is not None and overlay.visible else None


def test_a_preview_lies_directly_below_the_result_and_is_signed(qtbot: QtBot, dock, viewer, painter) -> None:
    run = started(qtbot, dock, painter)
    assert run.options["preview"] is True
    assert not preview_layers(viewer)
    chosen = viewer.layers.selection.active
    first = run.begin_preview()
    dock.poll()
    assert not preview_layers(viewer), "there is nothing to see yet"
    first.land(EVERYTHING, 200)
    dock.poll()
    assert [layer.name for layer in viewer.layers] == ["tissue", "tissue: nuclei (preview)", "tissue: nuclei"]
    (layer,) = preview_layers(viewer)
    assert layer.metadata[FACTS]["exact"] is False
    assert dock.result_layers[0].metadata[FACTS]["preview"] is False
    assert viewer.layers.selection.active is chosen
    assert sign(viewer) == SIGN
    assert dock.panel.progress.preview.value().sentence.startswith("Preview: statistics are estimated")
    assert (layer.data[0][..., :3] == 200).all()


def test_how_far_a_preview_is_is_told(qtbot: QtBot, dock, painter) -> None:
    run = started(qtbot, dock, painter)
    run.now = replace(run.now, state="waiting", passes=16)
    dock.poll()
    assert dock.panel.progress.status.text() == "Looking at a sample of the image, for a first look…"
    first = run.begin_preview()
    run.end("running")
    first.now = replace(first.now, done=250_000)
    dock.poll()
    assert dock.panel.progress.caption.text() == "preview: 25 % · then 16 passes"
    first.end("finished")
    dock.poll()
    assert dock.panel.progress.caption.text() == "measuring, pass 1 of 16"


def test_exact_pixels_cover_a_preview_until_it_goes(qtbot: QtBot, dock, viewer, painter) -> None:
    run, _ = previewed(qtbot, dock, painter)
    run.last_pass()
    run.land(TOP, 100)
    dock.poll()
    assert sign(viewer) == SIGN, "half of what is on screen is still estimated"
    run.land(BOTTOM, 100)
    qtbot.waitUntil(lambda: not preview_layers(viewer), timeout=2000)
    assert sign(viewer) is None
    assert KEY not in viewer.canvas.overlays
    dock.poll()
    assert dock.panel.progress.preview.value() is None
    assert dock.result_layers[0] in viewer.layers


def test_the_sign_is_there_only_where_something_estimated_is_on_screen(qtbot: QtBot, dock, viewer, painter) -> None:
    run, _ = previewed(qtbot, dock, painter)
    run.last_pass()
    run.land(TOP, 100)
    viewer.scene.camera.zoom = 8
    for centre, expected in (((100, 300), None), ((500, 300), SIGN)):
        viewer.scene.camera.center = centre
        dock.poll()
        assert sign(viewer) == expected
    preview_layers(viewer)[0].visible = False
    dock.poll()
    assert sign(viewer) is None


WAYS_OUT: dict[str, Callable[[SeamlessDock, Any, FakeRun], object]] = {
    "finished": lambda _dock, _viewer, run: run.end("finished"),
    "failed": lambda _dock, _viewer, run: run.end("failed", ZeroDivisionError("division by zero")),
    "cancel is pressed": lambda dock, _viewer, _run: dock.panel.progress.cancel.click(),
    "the result is deleted": lambda dock, viewer, _run: viewer.layers.remove(dock.result_layers[0]),
    "the source is deleted": lambda _dock, viewer, _run: viewer.layers.remove(viewer.layers["tissue"]),
    "all layers are deleted": lambda _dock, viewer, _run: viewer.layers.clear(),
    "the dock is closed": lambda dock, viewer, _run: viewer.window.remove_dock_widget(dock),
}


@pytest.mark.parametrize("way", WAYS_OUT)
def test_a_preview_goes_when(qtbot: QtBot, dock, viewer, painter, way: str) -> None:
    run, first = previewed(qtbot, dock, painter)
    WAYS_OUT[way](dock, viewer, run)
    qtbot.waitUntil(lambda: not preview_layers(viewer) and sign(viewer) is None, timeout=2000)
    assert KEY not in viewer.canvas.overlays
    assert first.now.state == "cancelled" or run.now.state in ("finished", "failed")


def test_closing_the_viewer_stops_the_preview(qtbot: QtBot, dock, viewer, painter) -> None:
    _, first = previewed(qtbot, dock, painter)
    viewer.close()
    qtbot.waitUntil(lambda: first.now.state == "cancelled")


def test_a_preview_that_is_deleted_does_not_come_back(qtbot: QtBot, dock, viewer, painter) -> None:
    run, first = previewed(qtbot, dock, painter)
    viewer.layers.remove(preview_layers(viewer)[0])
    assert first.now.state == "cancelled"
    assert sign(viewer) is None
    qtbot.wait(200)
    assert not preview_layers(viewer)
    assert run.now.state == "running"


def test_a_preview_is_not_offered_as_an_image(qtbot: QtBot, dock, viewer, painter) -> None:
    previewed(qtbot, dock, painter)
    assert [layer.name for layer in dock._selection.images().values()] == ["tissue"]


def test_another_run_has_another_preview(qtbot: QtBot, dock, viewer, painter) -> None:
    previewed(qtbot, dock, painter)
    dock.panel.progress.cancel.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "cancelled", timeout=2000)
    dock.choose_model("stain")
    previewed(qtbot, dock, painter)
    assert [layer.name for layer in preview_layers(viewer)] == ["tissue: stain (preview)"]


@pytest.mark.parametrize("pipeline", [FakePipeline("labels"), FakePipeline("image", 2)], ids=["labels", "channels"])
def test_nothing_of_a_preview_shines_through_what_is_exact(qtbot: QtBot, viewer, pipeline) -> None:
    run, first = previewed(qtbot, docked(viewer, pipeline), pipeline)
    first.land(EVERYTHING, 2)
    run.last_pass()
    run.land(TOP, 0)
    layers = preview_layers(viewer)
    assert layers
    coarse = 304 >> len(run.store.levels) - 1
    qtbot.waitUntil(lambda: all(not np.asarray(layer.data[-1])[:coarse].any() for layer in layers), timeout=2000)
    for layer in layers:
        for level in range(len(layer.data)):
            half = 304 >> level
            assert not np.asarray(layer.data[level])[:half].any()
            assert (np.asarray(layer.data[level])[half:] == 2).all()


def test_on_screen_a_preview_gives_way_as_it_would_after_a_refresh(make_napari_viewer, qtbot: QtBot) -> None:
    window = make_napari_viewer(show=True)
    for dock in window.window._qt_window.findChildren(QDockWidget):
        dock.hide()
    window.window.resize(700, 500)
    window.add_image(np.full((600, 800, 3), 90, np.uint8), name="tissue")
    exact, estimated = FakeLive((600, 800)), FakeLive((600, 800))
    result = ResultLayers(window, exact, "result", {})
    image = UncoveredPreview(estimated, exact)
    preview = ResultLayers(window, image, "preview", {}, below=result.layers[0])
    window.scene.camera.zoom = 1.3
    canvas(window)
    estimated.write(EVERYTHING, 1)
    exact.write(TOP, 0)
    for _ in range(20):
        assert image.pump()
        preview.tick()
        result.tick()
    assert not preview.planes[0].refresher._soon, "pixels had to be refreshed, not patched"
    patched = canvas(window)
    assert (patched[:, 200, 0] > 150).any(), "the lower half is still there"
    preview.finish()
    result.finish()
    np.testing.assert_array_equal(patched, canvas(window))


def canvas(viewer: Any) -> NDArray[np.uint8]:
    picture: NDArray[np.uint8] = viewer.screenshot(canvas_only=True, flash=False)
    return picture


def test_a_flood_of_pieces_is_made_up_for() -> None:
    exact, estimated = FakeLive((600, 800)), FakeLive((600, 800))
    image = UncoveredPreview(estimated, exact)
    for _ in range(600):
        estimated.write(BOTTOM, 1)
    assert not image.pump()
    assert (np.asarray(image.levels[-1])[76:] == 1).all()
    assert image.pump()


def test_chunks_of_other_sizes_are_compared_by_their_pixels() -> None:
    exact, estimated = FakeLive((64, 64)), FakeLive((64, 64))
    estimated.grid = type(exact.grid)((64, 64), (16, 16))
    estimated.finished = np.ones((4, 4), bool)
    exact.finished[:4, :] = True
    exact.finished[4, 0] = True
    np.testing.assert_array_equal(uncovered(estimated, exact), np.repeat([[False], [False], [True], [True]], 4, 1))


def test_passes_are_told_in_words_and_in_the_activity_dock(qtbot: QtBot, dock, painter) -> None:
    from napari.utils.progress import progress

    run, _ = previewed(qtbot, dock, painter)
    run.now = replace(run.now, tiles=3, done=100_000, rate=1e5, eta=9.0)
    dock.poll()
    assert dock.panel.progress.caption.text() == "measuring, pass 3 of 16 · 9 s left"
    assert dock.panel.progress.status.text().startswith("Pixels come with the last pass")
    assert [bar.desc for bar in progress._all_instances] == ["tissue: nuclei: measuring, pass 3 of 16: "]
    run.last_pass()
    run.now = replace(run.now, pass_fraction=0.45)
    dock.poll()
    assert dock.panel.progress.caption.text() == "pass 16 of 16: 45 % · 9 s left"
    assert [bar.desc for bar in progress._all_instances] == ["tissue: nuclei: pass 16 of 16: "]
    run.now = replace(run.now, done=run.now.total)
    dock.poll()
    assert dock.panel.progress.status.text() == "Checking a few places again…"
    run.end()
    dock.poll()
    assert dock.panel.progress.caption.text() == "16 passes · in 0 s"


CHECKS = [
    pytest.param(
        "image",
        np.float32,
        FakeCheck(2e-6),
        "Same as on the whole image: max difference 2e-06 over 5 checks.",
        True,
        id="float",
    ),
    pytest.param(
        "image", np.float32, FakeCheck(0.0), "Same as on the whole image: no difference over 5 checks.", True, id="none"
    ),
    pytest.param(
        "image",
        np.float32,
        FakeCheck(3e-3),
        "Not quite the same as on the whole image: max difference 3e-03 over 5 checks.",
        False,
        id="too large",
    ),
    pytest.param(
        "image",
        np.uint8,
        FakeCheck(0.02, 2e-6),
        "Same as on the whole image: mean difference 2e-06 over 5 checks (rounded to whole numbers).",
        True,
        id="a step",
    ),
    pytest.param(
        "labels",
        np.uint8,
        FakeCheck(0.0),
        "Same as on the whole image: no pixels differ over 5 checks.",
        True,
        id="labels",
    ),
    pytest.param(
        "labels",
        np.uint8,
        FakeCheck(1.0, 0.002),
        "Not quite the same as on the whole image: 0.002 of all pixels differ over 5 checks.",
        False,
        id="other labels",
    ),
]


@pytest.mark.parametrize(("kind", "dtype", "check", "sentence", "is_good"), CHECKS)
def test_the_self_check_is_shown_and_kept_with_the_layer(
    qtbot: QtBot, viewer, pipeline, kind: Any, dtype: Any, check: FakeCheck, sentence: str, is_good: bool
) -> None:
    dock = docked(viewer, pipeline)
    run = started(qtbot, dock, pipeline)
    run.store.kind, run.store.info = kind, FakeLive((600, 800), kind, dtype=dtype).info
    assert dock.panel.progress.verdict.value() is None
    run.report = FakeReport(check)
    run.end()
    dock.poll()
    remark = dock.panel.progress.verdict.value()
    assert (remark.sentence, remark.tone) == (sentence, "good" if is_good else "caution")
    facts = dock.result_layers[0].metadata[FACTS]
    assert facts["self_check"]["largest"] == check.largest


def test_a_run_that_follows_is_asked_again_after_it_went_on(qtbot: QtBot, dock, painter) -> None:
    dock.panel.extent.setValue(Extent("view"))
    run = started(qtbot, dock, painter)
    run.end()
    dock.poll()
    assert dock.panel.progress.verdict.value() is None
    run.end("running")
    dock.poll()
    run.report = FakeReport(FakeCheck(0.0))
    run.end()
    dock.poll()
    assert dock.panel.progress.verdict.value().sentence == "Same as on the whole image: no difference over 5 checks."


def test_what_is_refused_can_be_run_approximately_by_a_button(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.refusal = REFUSAL
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    notice = dock.panel.notices["model"]
    assert notice.value().sentence == "Global attention at blocks.3; or run it approximately"
    assert notice._action.text() == "Run approximately"
    notice._action.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    assert dock.result_layers[0].name == "tissue: nuclei (approximate)"
    assert dock.result_layers[0].metadata[FACTS]["exact"] is False
    assert dock.panel.progress.verdict.value().tone == "caution"
    assert notice.value() is None
    pipeline.runs[-1].report = FakeReport(mismatch="neighbouring tiles differ by 0.02 sd", exact=False)
    pipeline.runs[-1].end()
    dock.poll()
    assert dock.panel.progress.verdict.value().sentence == "Approximate: neighbouring tiles differ by 0.02 sd."


def test_a_network_is_never_run_approximately_by_itself(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.refusal = REFUSAL
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    dock.panel.notices["model"]._action.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "running")
    pipeline.runs[-1].end()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished")
    dock.choose_model("stain")
    dock.choose_model("nuclei")
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    assert dock.panel.notices["model"]._action.text() == "Run approximately"
    assert not dock.panel.progress.main.isEnabled()


def test_a_long_list_of_reasons_is_cut_in_the_notice_and_whole_in_its_details(qtbot: QtBot, viewer, pipeline) -> None:
    reasons = "; ".join(f"global attention at blocks.{n} looks at the whole image" for n in range(12))
    pipeline.refusal = NotTileable(reasons, remedies=(RunApproximately(),))
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    notice = dock.panel.notices["model"].value()
    assert len(notice.sentence) <= 300
    assert notice.sentence.endswith(" …")
    assert "blocks.11" in notice.details
    assert notice.action == "Run approximately"


def test_an_error_without_a_way_round_has_no_button(qtbot: QtBot, viewer, pipeline) -> None:
    pipeline.refusal = NotTileable("this network takes no tile at all")
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().problem is not None)
    assert dock.panel.notices["model"]._action.isHidden()


class Normed(torch.nn.Module):
    """Two instance norms, one after the other: three passes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = torch.nn.Conv2d(3, 6, 3, padding=1), torch.nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(torch.nn.functional.instance_norm(self.first(x)))
        return torch.sigmoid(torch.nn.functional.instance_norm(self.second(y)))


class Attending(torch.nn.Module):
    """Every pixel looks at every other one."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = torch.nn.functional.avg_pool2d(x, 16).flatten(2).transpose(1, 2)
        mixed = torch.softmax(tokens @ tokens.transpose(1, 2), -1) @ tokens
        low = mixed.transpose(1, 2).reshape(1, 3, x.shape[2] // 16, x.shape[3] // 16)
        return x + torch.nn.functional.interpolate(low, scale_factor=16.0)


class WithModules:
    """The real pipeline, in which the model's name stands for a module of this file."""

    def __init__(self, module: torch.nn.Module) -> None:
        from napari_seamless._napari.backend import lazy_backend

        self._real, self._module = lazy_backend(), module
        self.runs: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def load_model(self, _what: Any) -> Any:
        return self._real.load_model(self._module)

    def start(self, *args: Any, **options: Any) -> Any:
        self.runs.append(self._real.start(*args, **options))
        return self.runs[-1]


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    return np.kron(rng.integers(0, 255, (60, 80, 3)), np.ones((8, 8, 1))).astype(np.uint8)


def test_a_real_network_is_previewed_and_then_exact(make_napari_viewer, qtbot: QtBot, picture) -> None:
    import napari_seamless as ns

    network = Normed().eval()
    expected = np.asarray(ns.run(network, picture, scheduler="serial"))
    viewer = make_napari_viewer()
    viewer.add_image(picture, name="tissue")
    pipeline = WithModules(network)
    dock = docked(viewer, pipeline)
    qtbot.waitUntil(lambda: dock.poll().choice is not None, timeout=30_000)
    dock.panel.tile.slider.setValue(0)
    seen: list[bool] = []
    viewer.layers.events.inserted.connect(lambda _event: seen.extend([True] * len(preview_layers(viewer))))
    dock.run()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=60_000)
    assert seen, "there was no preview"
    assert not preview_layers(viewer)
    shown = np.stack([np.asarray(layer.data[0] if layer.multiscale else layer.data) for layer in dock.result_layers])
    np.testing.assert_allclose(shown, expected, atol=1e-5)
    assert dock.panel.progress.verdict.value().tone == "good"


def test_a_real_refusal_leads_to_an_approximate_run(make_napari_viewer, qtbot: QtBot, picture) -> None:
    viewer = make_napari_viewer()
    viewer.add_image(picture, name="tissue")
    dock = docked(viewer, WithModules(Attending().eval()))
    qtbot.waitUntil(lambda: dock.poll().problem is not None, timeout=30_000)
    notice = dock.panel.notices["model"]
    assert "--approximate" not in notice.value().sentence
    notice._action.click()
    qtbot.waitUntil(lambda: dock.poll().phase == "finished", timeout=60_000)
    assert all("(approximate)" in layer.name for layer in dock.result_layers)
    assert dock.panel.progress.verdict.value().sentence.startswith("Approximate: ")
