"""The dock widget: it connects the panel, the life of a run, and the viewer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer, Shapes
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_seamless._napari.activity import ActivityBar
from napari_seamless._napari.controller import Controller
from napari_seamless._napari.coverage import coverage_of
from napari_seamless._napari.desk import Calls, Desk
from napari_seamless._napari.drawing import drawing_layer, polygons_over
from napari_seamless._napari.editors import (
    Budget,
    Extent,
    ModelChoice,
    ModelOption,
    SourceChoice,
    SourceOption,
    TileSetting,
)
from napari_seamless._napari.layers import (
    ResultLayers,
    about,
    is_result,
    key_of,
    layers_of,
    placed_over,
    spatial_shape,
)
from napari_seamless._napari.lazy import lazy_pipeline
from napari_seamless._napari.opener import Opener
from napari_seamless._napari.outlines import TileOutlines
from napari_seamless._napari.panel import Panel
from napari_seamless._napari.port import Pipeline, Prepared, TileChoice
from napari_seamless._napari.preview import Preview
from napari_seamless._napari.scroll import Column
from napari_seamless._napari.session import Session
from napari_seamless._napari.state import Order, Snapshot, Started
from napari_seamless._napari.style import sheet
from napari_seamless._napari.telling import tell_problem
from napari_seamless._napari.view import ViewWatch, output_region, visible_region
from napari_seamless.errors import NowhereToRun
from napari_seamless.geometry import Region

if TYPE_CHECKING:
    import napari

TICK_MS = 16
POLL_EVERY = 8
QUIET_SECONDS = 1.0
"""The bar in the activity dock takes 50 ms to make: it comes after the first pixels, or when they are late."""


class SeamlessDock(QWidget):
    """Choose an image and a network, run it, watch the result fill in.

    One timer in the GUI thread shows fresh pixels and asks how the run stands; no other thread touches Qt or napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, pipeline: Pipeline | None = None) -> None:
        super().__init__()
        # napari hands plugins a proxy that hides private names; the texture patches need some (see patcher.py)
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._pipeline: Pipeline = lazy_pipeline() if pipeline is None else pipeline
        self.panel = Panel()
        self._desk = Desk(
            self._pipeline, self.panel, self, Calls(self._choose, self._open_scene, lambda: self._controller)
        )
        self._session = Session(
            Controller(self._desk.pipeline, self._show_run),
            Opener(self._pipeline),
            ViewWatch(self._viewer, self._retarget, self),
            disconnect=[self._desk.close],
        )
        self._last = Snapshot()
        self._ticks = 0
        self._was_docked = self._has_budget = False
        self._lay_out()
        self._connect_panel()
        self._connect_viewer()
        self._list_images()
        self._timer = QTimer(self)
        self._timer.setInterval(TICK_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

    @property
    def snapshot(self) -> Snapshot:
        """How things stood when the dock last looked."""
        return self._last

    @property
    def result_layers(self) -> list[Any]:
        """The layers of the current result."""
        return self._session.shown.layers if self._session.shown is not None else []

    def open(self, path: str | Path) -> None:
        """Opens a file in the background, adds it to the viewer and chooses it."""
        self._open_scene(path, None)

    def load_model(self, path: str | Path) -> None:
        """Loads a network from a file or folder, in the background, puts it into the list and chooses it."""
        self._desk.bringing.begin(path)

    def choose_model(self, name: str) -> None:
        """Chooses a network by its name or by the path of its file."""
        self.panel.model.setValue(ModelChoice(name))

    def run(self) -> None:
        """Starts a run of what is chosen, as soon as the network is ready."""
        self._order_with(self._controller.start)

    def run_approximately(self) -> None:
        """Starts a run on overlapping, blended tiles of what was refused."""
        self._order_with(self._controller.approximate)

    def _order_with(self, begin: Callable[[Order], None]) -> None:
        try:
            begin(self._order())
        except NowhereToRun as problem:
            self._controller.report(problem)
        self._poll()

    def draw(self) -> None:
        """Makes a layer for shapes that say where to run, or takes up the chosen one; a rectangle can be drawn next."""
        image, shapes = self._chosen(), self._shapes().get(self.panel.extent.value().shapes or "")
        if image is None:
            return
        if shapes is None:
            shapes = drawing_layer(self._viewer, image)
            self.panel.extent.setValue(Extent("shapes", key_of(shapes)))
        self._viewer.layers.selection.active = shapes
        shapes.mode = "add_rectangle"

    def poll(self) -> Snapshot:
        """Looks at the run now, not at the next tick of the timer."""
        self._poll()
        return self._last

    def event(self, event: QEvent | None) -> bool:
        """Notices that napari has taken the widget out of its dock, which is how it closes plugins."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self._timer.stop()
                self._end_preview()
                self._session.close()
                self.deleteLater()
        return super().event(event)

    def _order(self) -> Order:
        extent = self.panel.extent.value()
        where = None if extent.kind != "shapes" else self._polygons()
        settings = {"tissue_only": True} if extent.kind == "tissue" else {}
        return Order(self._output_view, extent.whole, self.panel.output.value().path, where, settings)

    def _polygons(self) -> list[Any]:
        """What is drawn, on the pixels of the chosen image. Raises NowhereToRun where nothing is."""
        image, shapes = self._chosen(), self._shapes().get(self.panel.extent.value().shapes or "")
        found = [] if image is None or shapes is None else polygons_over(shapes, image)
        if not found:
            raise NowhereToRun("where to run needs a shape; there is none yet; press Draw, and drag over the image")
        return found

    @property
    def _controller(self) -> Controller:
        return self._session.controller

    def _lay_out(self) -> None:
        self._column = Column(self.panel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._column)
        self._restyle()

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(sheet(str(self._viewer.theme)))

    def _connect_panel(self) -> None:
        panel, controller = self.panel, self._controller
        panel.source.valueChanged.connect(self._choose)
        panel.source.openRequested.connect(self.open)
        panel.model.valueChanged.connect(self._choose)
        panel.budget.valueChanged.connect(self._take_budget)
        panel.tile.valueChanged.connect(self._take_tile)
        panel.extent.drawRequested.connect(self.draw)
        panel.runPressed.connect(self._press_main)
        panel.progress.map.pressed.connect(self._go_to)
        panel.cancelPressed.connect(controller.cancel)
        panel.exportRequested.connect(controller.export)
        panel.approximateRequested.connect(self.run_approximately)

    def _connect_viewer(self) -> None:
        layers = self._viewer.layers.events
        pairs: list[tuple[Any, Any]] = [
            (layers.inserted, self._list_images),
            (layers.removed, self._layer_removed),
            (layers.reordered, self._list_images),
            (self._viewer.events.theme, self._restyle),
        ]
        for emitter, slot in pairs:
            emitter.connect(slot)
            self._session.disconnect.append(partial(emitter.disconnect, slot))
        self.destroyed.connect(self._session.close)

    def _images(self) -> dict[str, Image]:
        """The layers that a network can run on, topmost first, by key."""
        found = (layer for layer in reversed(self._viewer.layers) if isinstance(layer, Image) and not is_result(layer))
        return {key_of(layer): layer for layer in found}

    def _shapes(self) -> dict[str, Shapes]:
        """The layers of shapes, topmost first, by key."""
        return {key_of(layer): layer for layer in reversed(self._viewer.layers) if isinstance(layer, Shapes)}

    def _chosen(self) -> Image | None:
        return self._images().get(self.panel.source.value().key or "")

    def _list_images(self, _event: object = None) -> None:
        self.panel.source.setOptions([SourceOption(key, layer.name) for key, layer in self._images().items()])
        self.panel.extent.setLayers([SourceOption(key, layer.name) for key, layer in self._shapes().items()])
        self._choose()

    def _layer_removed(self, event: Any) -> None:
        gone, preview = event.value, self._session.preview
        if preview is not None and gone in preview.layers:
            preview.give_up()
        if gone in self.result_layers:
            self._controller.cancel()
            self._session.shown = None
            self._end_preview()
        if key_of(gone) == self.panel.source.value().key:
            self._controller.cancel()
        if isinstance(gone, Image):
            self._desk.forget(gone)
        self._list_images()

    def _choose(self, _value: object = None) -> None:
        """Starts to prepare the network for what is chosen now."""
        layer = self._chosen()
        image = self._desk.choose(layer)
        said = [] if layer is None else [about(layer), self._desk.remark()]
        self.panel.describe_image(" · ".join(text for text in said if text))
        if not self._last.is_active:
            self._controller.choose(image, self.panel.model.value().name)

    def _open_scene(self, path: str | Path, scene: str | None) -> None:
        self.panel.describe_image(f"Opening {Path(path).name}…")
        self._session.opener.begin(path, scene)

    def _wanted(self, now: Snapshot) -> tuple[int, str]:
        """How many output pixels a run would make, and what they are."""
        if now.prepared is None:
            return 0, ""
        if self.panel.extent.value().whole:
            return prod(now.prepared.output_shape), "The whole image"
        view = self._output_view(now.prepared)
        return (0 if view is None else view.size), "What is on screen"

    def _take_budget(self, budget: Budget) -> None:
        self._has_budget = True
        self._controller.set_budget(budget.bytes)

    def _take_tile(self, setting: TileSetting) -> None:
        if setting.tile:
            self._controller.set_tile(setting.tile, by_hand=not setting.follows_budget)

    def _press_main(self) -> None:
        """The main button: what it does is what it says."""
        match self._last.phase:
            case "running":
                self._controller.pause()
            case "paused":
                self._controller.resume()
            case _:
                self.run()
        self._poll()

    def _tick(self) -> None:
        if self._session.shown is not None:
            self._session.shown.tick()
        if self._session.preview is not None:
            self._session.preview.tick()
        self._ticks += 1
        if self._last.phase == "starting" or self._ticks % POLL_EVERY == 0:
            self._poll()

    def _poll(self) -> None:
        self._take_opened()
        self._desk.poll(self._last, *self._wanted(self._last))
        before, self._last = self._last, self._controller.poll()
        now = self._last
        if now.models != before.models:
            self.panel.model.setOptions([ModelOption(name, text) for name, text in now.models])
        if now.choice is not None and now.choice is not before.choice:
            self._take_choice(now.choice)
        if now != before:
            layer = self._chosen()
            self.panel.showSnapshot(now, None if layer is None else spatial_shape(layer))
            self._column.updateGeometry()
        if now.verdict is not None and now.verdict != before.verdict and self._session.shown is not None:
            self._session.shown.tell(now.verdict.facts)
        if now.problem is not None and now.problem != before.problem:
            tell_problem(now.problem.notice)
        self._follow_activity(now)
        self._show_coverage(now)
        if before.is_active and not now.is_active:
            self._ended()
        self._look_at_preview()

    def _show_coverage(self, now: Snapshot) -> None:
        """The map in the panel, and the outlines on the canvas."""
        shown = self._session.shown
        if shown is None:
            self.panel.showCoverage(None)
            return
        layer, working = shown.layers[0], now.in_work if now.phase == "running" else ()
        self.panel.showCoverage(coverage_of(shown.image, working, visible_region(self._viewer, layer)))
        if self._session.outlines is None:
            self._session.outlines = TileOutlines(self._viewer)
        self._session.outlines.show(layer, working)

    def _go_to(self, y: float, x: float) -> None:
        """Moves the view to a place of the result."""
        shown = self._session.shown
        if shown is not None and self._viewer.dims.ndisplay == 2:
            layer = shown.layers[0]
            front = (0.0,) * (layer.ndim - 2)
            world = layer.data_to_world((*front, y, x))[-2:]
            self._viewer.scene.camera.center = (*self._viewer.scene.camera.center[:-2], *world)

    def _look_at_preview(self) -> None:
        preview = self._session.preview
        if preview is not None:
            preview.look()
        self.panel.showPreview(preview is not None and preview.is_on_screen)

    def _end_preview(self) -> None:
        preview, self._session.preview = self._session.preview, None
        if preview is not None:
            preview.close()

    def _take_choice(self, choice: TileChoice) -> None:
        """Shows the tiles that a budget allows, and the budget itself where nobody has set one."""
        self.panel.tile.setChoices(choice.choices, choice.tile, choice.budget)
        self._take_tile(self.panel.tile.value())
        if not self._has_budget:
            self.panel.budget.blockSignals(True)
            self.panel.budget.setValue(Budget.of_bytes(choice.budget))
            self.panel.budget.blockSignals(False)

    def _follow_activity(self, now: Snapshot) -> None:
        session, progress = self._session, now.progress
        if progress is None or session.activity_name is None:
            return
        if session.activity is None and (progress.tiles or progress.seconds > QUIET_SECONDS):
            session.activity = ActivityBar(session.activity_name)
        activity = session.activity
        if activity is None:
            return
        activity.show(progress)
        if activity.is_cancelled:
            self._controller.cancel()

    def _ended(self) -> None:
        """Shows the last pixels, and takes up what was chosen meanwhile."""
        self._session.end_activity()
        if self._session.shown is not None:
            self._session.shown.finish()
        self._choose()

    def _take_opened(self) -> None:
        opened = self._session.opener.poll()
        if isinstance(opened, BaseException):
            self.panel.describe_image("")
            self._controller.report(opened)
        elif opened is not None:
            layer = Layer.create(*opened)
            self._viewer.add_layer(layer)
            self.panel.source.setValue(SourceChoice(key_of(layer)))

    def _show_run(self, started: Started) -> None:
        """Puts the empty result over its source. Called by the controller when a run has started."""
        layer, prepared = self._chosen(), started.prepared
        if layer is None:
            started.run.cancel()
            return
        name = f"{layer.name}: {Path(self.panel.model.shown() or 'result').stem}"
        placed = placed_over(layer, prepared.scale, prepared.offset)
        self._end_preview()
        onto = layers_of(self._viewer, started.output)
        shown = ResultLayers(self._viewer, started.run.store, name, placed, started.folder, started.output, onto=onto)
        self._session.shown = shown
        self._session.preview = Preview(self._viewer, started.run, shown, shown.name, placed)
        self._session.end_activity()
        self._session.activity_name = name
        self._retarget()

    def _output_view(self, prepared: Prepared) -> Region | None:
        """What is on screen, in output pixels of a run that has no layer yet."""
        layer = self._chosen()
        view = None if layer is None else visible_region(self._viewer, layer)
        if view is None:
            return None
        return output_region(view, prepared.scale, prepared.offset, prepared.output_shape)

    def _retarget(self) -> None:
        shown = self._session.shown
        if shown is not None and self._session.is_open:
            self._controller.retarget(visible_region(self._viewer, shown.layers[0]))
