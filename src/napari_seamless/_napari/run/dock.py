"""The dock widget: it connects the panel, the life of a run, and the viewer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from napari.utils.notifications import show_info
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QApplication, QVBoxLayout, QWidget

from napari_seamless._napari.layers.data_watch import Watched
from napari_seamless._napari.layers.live_layers import (
    about,
    key_of,
    spatial_shape,
)
from napari_seamless._napari.layers.overview import Overview
from napari_seamless._napari.layers.planes import letters_of
from napari_seamless._napari.layers.readings import forget_origin
from napari_seamless._napari.layers.view import ViewWatch
from napari_seamless._napari.run.backend import Backend, Found, Prepared, TileChoice
from napari_seamless._napari.run.controller import Controller
from napari_seamless._napari.run.copy_as import Settings, as_command, as_python
from napari_seamless._napari.run.image_opener import ImageOpener
from napari_seamless._napari.run.inputs import Calls, Inputs
from napari_seamless._napari.run.lazy_backend import lazy_backend
from napari_seamless._napari.run.notifications import tell_problem
from napari_seamless._napari.run.orders import Ordering
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.run_view import RunView
from napari_seamless._napari.run.session import Session
from napari_seamless._napari.run.shortcuts import CANCEL, DRAW, RUN, Shortcuts
from napari_seamless._napari.run.state import Order, Snapshot, StackPlace, Started
from napari_seamless._napari.widgets import (
    Budget,
    ModelChoice,
    ModelOption,
    SourceChoice,
    SourceOption,
    TileSetting,
)
from napari_seamless._napari.widgets.style import sheet
from napari_seamless.errors import (
    BadRequest,
    NameArchitecture,
    NowhereToRun,
    Remedy,
    RunApproximately,
    SetPixelSize,
    TrustFile,
    UseBudget,
)

if TYPE_CHECKING:
    import napari

TICK_MS = 16
POLL_EVERY = 8


class SeamlessDock(QWidget):
    """Choose an image and a network, run it, watch the result fill in.

    One timer in the GUI thread shows fresh pixels and asks how the run stands; no other thread touches Qt or napari.
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer, pipeline: Backend | None = None) -> None:
        super().__init__()
        # napari hands plugins a proxy that hides private names; the texture patches need some (see patcher.py)
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._pipeline: Backend = lazy_backend() if pipeline is None else pipeline
        self.panel = Panel()
        self._desk = Inputs(
            self._pipeline, self.panel, self, Calls(self._choose, self._open_scene, lambda: self._controller)
        )
        self._session = Session(
            Controller(self._desk.pipeline, self._show_run),
            ImageOpener(self._pipeline),
            ViewWatch(self._viewer, self._retarget, self),
            RunView(self._viewer),
            disconnect=[self._desk.close],
        )
        self._ordering = Ordering(self._viewer, self.panel, self._desk)
        self._overview = Overview(self._viewer, self.panel)
        shortcuts = Shortcuts(self._viewer, {RUN: self._press_key, CANCEL: self.press_cancel, DRAW: self.draw})
        self._session.disconnect += [self._overview.close, shortcuts.close]
        self._last = Snapshot()
        self._watched = Watched(self._exchanged)
        self._session.disconnect.append(self._watched.close)
        self._place = StackPlace()
        self._is_stale = self._goes_on = False
        self._ticks = 0
        self._was_docked = False
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
        return self._session.stage.layers

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
            begin(self._ordering.order())
        except NowhereToRun as problem:
            self._controller.report(problem)
        self._poll()

    def draw(self) -> None:
        """Makes a layer for shapes that say where to run, or takes up the chosen one; a rectangle can be drawn next."""
        self._ordering.draw()

    def copy_as(self, words: Callable[[Settings], str]) -> None:
        """Puts what is chosen onto the clipboard, in these words."""
        clipboard = QApplication.clipboard()
        try:
            text = words(self._ordering.settings(self._last.approximate, self._spatial))
        except BadRequest as problem:
            self._controller.report(problem)
            self._poll()
            return
        if clipboard is not None:
            clipboard.setText(text)
            show_info("Copied to the clipboard.")

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
                self._session.stage.end_preview()
                self._session.close()
                self.deleteLater()
        return super().event(event)

    @property
    def _controller(self) -> Controller:
        return self._session.controller

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.panel)
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
        panel.output.valueChanged.connect(self._look_at_output)
        panel.extent.drawRequested.connect(self._ordering.draw)
        panel.advanced.pythonRequested.connect(partial(self.copy_as, as_python))
        panel.advanced.commandRequested.connect(partial(self.copy_as, as_command))
        panel.runPressed.connect(self.press_main)
        panel.progress.map.pressed.connect(self._overview.go_to)
        panel.cancelPressed.connect(controller.cancel)
        panel.exportRequested.connect(controller.export)
        panel.remedyRequested.connect(self._apply)

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

    def _apply(self, remedy: Remedy) -> None:
        """What the button beside a problem offers."""
        match remedy:
            case RunApproximately():
                self.run_approximately()
            case SetPixelSize():
                self._desk.ask_pixel_size()
            case UseBudget():
                self.panel.budget.setValue(Budget.of_bytes(remedy.bytes))
            case TrustFile() | NameArchitecture():
                self._desk.reload()

    def _chosen(self) -> Image | None:
        return self._ordering.image()

    def _list_images(self, _event: object = None) -> None:
        images, shapes = self._ordering.images(), self._ordering.shapes()
        self.panel.source.setOptions([SourceOption(key, layer.name) for key, layer in images.items()])
        self.panel.extent.setLayers([SourceOption(key, layer.name) for key, layer in shapes.items()])
        self._choose()

    def _layer_removed(self, event: Any) -> None:
        gone = event.value
        if self._session.stage.drop(gone):
            self._controller.cancel()
        if key_of(gone) == self.panel.source.value().key:
            self._controller.cancel()
        if isinstance(gone, Image):
            self._desk.forget(gone)
        self._list_images()

    def _choose(self, _value: object = None) -> None:
        """Starts to prepare the network for what is chosen now."""
        layer = self._chosen()
        self._watched.follow(layer)
        if self._is_stale and not self._last.is_active:
            self._is_stale = False
            self._desk.choose(None)
            self._controller.choose(None, None)
        image = self._desk.choose(layer)
        self._describe()
        if not self._last.is_active:
            self._controller.choose(image, self.panel.model.value().name)

    def _describe(self) -> None:
        """The line under the image."""
        layer, plane = self._chosen(), self._place.words
        told = "" if layer is None else about(layer, letters_of(layer))
        said = [told, self._desk.remark(), f"runs on {plane}" if plane else ""] if told else []
        self.panel.describe_image("\N{NO-BREAK SPACE}· ".join(text for text in said if text))

    def _exchanged(self, layer: Image) -> None:
        """The pixels of the chosen image are others now: nothing that is known of it holds."""
        self._controller.cancel()
        self._desk.forget(layer)
        forget_origin(layer)
        self._is_stale = True
        self._choose()

    def _open_scene(self, path: str | Path, scene: str | None) -> None:
        self.panel.describe_image(f"Opening {Path(path).name}…")
        self._session.opener.begin(path, scene)

    def _take_budget(self, budget: Budget) -> None:
        self._ordering.has_budget = True
        self._controller.set_budget(budget.bytes)

    def _take_tile(self, setting: TileSetting) -> None:
        if setting.tile:
            self._controller.set_tile(setting.tile, by_hand=not setting.follows_budget)

    def press_main(self) -> None:
        """The main button: what it does is what it says."""
        match self._last.phase:
            case "running":
                self._controller.pause()
            case "paused":
                self._controller.resume()
            case _:
                self.run()
        self._poll()

    def _press_key(self) -> None:
        if self.panel.progress.main.isEnabled():
            self.press_main()

    def press_cancel(self) -> None:
        """Cancels the run; what is finished stays."""
        self._controller.cancel()
        self._poll()

    def _tick(self) -> None:
        self._session.stage.tick()
        self._ticks += 1
        if self._last.phase == "starting" or self._ticks % POLL_EVERY == 0:
            self._poll()

    def _poll(self) -> None:
        self._take_opened()
        self._desk.poll(self._last, self._ordering.wanted)
        before, self._last = self._last, self._controller.poll()
        now, stage = self._last, self._session.stage
        if now.models != before.models:
            self.panel.model.setOptions([ModelOption(name, text) for name, text in now.models])
        if now.choice is not None and now.choice is not before.choice:
            self._take_choice(now.choice)
        if now != before:
            layer = self._chosen()
            self.panel.showSnapshot(now, None if layer is None else spatial_shape(layer))
            self.panel.updateGeometry()
        if now.image is not before.image:
            self._look_at_plane()
        if now.verdict is not None and now.verdict != before.verdict:
            stage.tell(now.verdict.facts)
        if now.problem is not None and now.problem != before.problem:
            tell_problem(now.problem.notice)
        if now.found is not None and now.found is not before.found:
            self._show_found(now.found, now.prepared)
        if stage.follow(now.progress):
            self._controller.cancel()
        self._overview.show(now, stage.shown)
        if before.is_active and not now.is_active:
            self._ended()
        self.panel.showPreview(stage.look_at_preview())

    def _take_choice(self, choice: TileChoice) -> None:
        """Shows the tiles that a budget allows, and the budget itself where nobody has set one."""
        self.panel.tile.setChoices(choice.choices, choice.tile, choice.budget)
        self._take_tile(self.panel.tile.value())
        if not self._ordering.has_budget:
            self.panel.budget.blockSignals(True)
            self.panel.budget.setValue(Budget.of_bytes(choice.budget))
            self.panel.budget.blockSignals(False)

    def _ended(self) -> None:
        """Shows the last pixels, and takes up what was chosen meanwhile."""
        self._session.stage.finish()
        self._choose()
        if self._goes_on:
            self._goes_on = False
            self.run()

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
        layer = self._chosen()
        if layer is None:
            started.run.cancel()
            return
        self._session.stage.begin(started, layer, self._name(layer, started.place))
        self._retarget()

    def _show_found(self, found: Found, prepared: Prepared | None) -> None:
        """Puts the result of an earlier run over its source."""
        layer, place = self._chosen(), self._place
        if layer is not None and prepared is not None:
            self._session.stage.show_found(found, prepared, layer, self._name(layer, place), place)

    def _name(self, layer: Image, place: StackPlace) -> str:
        name = f"{layer.name}: {Path(self.panel.model.shown() or 'result').stem}"
        return f"{name}, {place.words}" if place.plane else name

    @property
    def _spatial(self) -> int | None:
        """How many spatial axes the chosen network's image has; None before it is ready."""
        return None if self._last.image is None else self._last.image.ndim

    def _look_at_output(self, _choice: object = None) -> None:
        self._controller.look_at(self.panel.output.value().path, self._place)

    def _look_at_plane(self) -> None:
        """Notices that another plane is looked at. A run that follows the view follows it there."""
        place = self._ordering.place(self._spatial)
        if place == self._place:
            return
        self._place = place
        self._look_at_output()
        self._describe()
        if self._last.is_active and self._last.follows and place.plane != self._last.place.plane:
            self._goes_on = True
            self._controller.cancel()

    def _retarget(self) -> None:
        self._look_at_plane()
        if self._session.stage.shown is not None and self._session.is_open:
            self._controller.retarget(self._session.stage.view)
