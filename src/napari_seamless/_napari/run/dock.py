"""The dock widget: it connects the panel, the life of a run, and the viewer."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Layer
from napari.utils.notifications import show_info
from qtpy.QtWidgets import QApplication

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.dock import Dock
from napari_seamless._napari.layers.axes import StackPlane
from napari_seamless._napari.layers.data_watch import DataWatch
from napari_seamless._napari.layers.live_layers import key_of
from napari_seamless._napari.layers.planes import letters_of
from napari_seamless._napari.layers.readings import forget_origin
from napari_seamless._napari.layers.source_layer import LayerTuple, about, spatial_shape
from napari_seamless._napari.layers.view import ViewWatch
from napari_seamless._napari.notifications import notify
from napari_seamless._napari.run.controller import Controller
from napari_seamless._napari.run.copy_as import Settings, as_command, as_python
from napari_seamless._napari.run.inputs import DockActions, Inputs
from napari_seamless._napari.run.object_trial import ObjectTrial
from napari_seamless._napari.run.open_layer import ImageOpener
from napari_seamless._napari.run.overview import Overview
from napari_seamless._napari.run.panel import Panel
from napari_seamless._napari.run.run_view import RunView
from napari_seamless._napari.run.selection import RunSelection
from napari_seamless._napari.run.shortcuts import CANCEL, DRAW, RUN, Shortcuts
from napari_seamless._napari.run.state import RunRequest, Snapshot, Started
from napari_seamless._napari.widgets import (
    Budget,
    ModelChoice,
    ModelOption,
    SourceChoice,
    SourceOption,
    TileSetting,
)
from napari_seamless.errors import (
    BadRequest,
    NameArchitecture,
    Remedy,
    RunApproximately,
    SetPixelSize,
    TrustFile,
    UseBudget,
)
from napari_seamless.runs.option_groups import ImageOptions

if TYPE_CHECKING:
    import napari

    from napari_seamless.runs.config import RunConfig
    from napari_seamless.runs.existing_output import ExistingOutput
    from napari_seamless.runs.prepared import Prepared
    from napari_seamless.runtime.planning.budget import TileChoice

TICK_MS = 16
POLL_EVERY = 8


class SeamlessDock(Dock):
    """Choose an image and a network, run it, watch the result fill in."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, backend: Backend | None = None) -> None:
        super().__init__(napari_viewer, backend)
        self.panel = Panel()
        self._inputs = Inputs(
            self._backend,
            self._jobs,
            self.panel,
            self,
            DockActions(self._choose, self.open, self.report, self._renew, self._forget),
        )
        self._controller = Controller(self._inputs.backend, self._jobs, self._show_run)
        self._view_watch = ViewWatch(self._viewer, self._retarget, self)
        self._run_view = RunView(self._viewer, ObjectTrial(self._viewer, self.panel.objects, self._jobs))
        self._selection = RunSelection(self._viewer, self.panel, self._inputs)
        self._overview = Overview(self._viewer, self.panel)
        self._data_watch = DataWatch(self._exchanged, self._choose)
        shortcuts = Shortcuts(self._viewer, {RUN: self._press_key, CANCEL: self.press_cancel, DRAW: self.draw})
        self._cleanup.add(self._controller.close, self._view_watch.close, self._run_view.close, self._overview.close)
        self._cleanup.add(shortcuts.close, self._data_watch.close)
        self._last = Snapshot()
        self._plane = StackPlane()
        self._opener = ImageOpener(self._backend, self._jobs, self._add_opened, self.report, self.panel.describe_image)
        self._is_stale = self._goes_on = False
        self._ticks = 0
        self._start(self.panel, TICK_MS)
        self._connect_panel()
        self._listen_to_layers(self._list_images, self._layer_removed)
        self._list_images()

    @property
    def snapshot(self) -> Snapshot:
        """How things stood when the dock last looked."""
        return self._last

    @property
    def result_layers(self) -> list[Any]:
        """The layers of the current result."""
        return self._run_view.layers

    def open(self, path: str | Path, options: ImageOptions | None = None) -> None:
        """Opens a file in the background, adds it to the viewer and chooses it. `options` say which scene, axes and
        plane are meant."""
        self._opener.open(path, options or ImageOptions())

    def load_model(self, path: str | Path, architecture: str = "", arguments: str = "{}") -> None:
        """Loads a network from a file or folder, in the background, puts it into the list and chooses it.

        Of a file of weights the architecture may be said, with its arguments (JSON).
        """
        self._inputs.loader.begin(path, architecture, arguments)

    def choose_model(self, name: str) -> None:
        """Chooses a network by its name or by the path of its file."""
        self.panel.model.setValue(ModelChoice(name))

    def show_config(self, config: RunConfig) -> None:
        """Puts the options of a run into the widgets, for the chosen image and network.

        Raises BadRequest for what no widget shows, and what reading a roi raises; then nothing has changed.
        """
        self._selection.show(config)
        if config.memory.budget is not None:
            self._take_budget(self.panel.budget.value())

    def run(self) -> None:
        """Starts a run of what is chosen, as soon as the network is ready."""
        self._begin(self._controller.start)

    def run_approximately(self) -> None:
        """Starts a run on overlapping, blended tiles of what was refused."""
        self._begin(self._controller.approximate)

    def _begin(self, begin: Callable[[RunRequest], None]) -> None:
        if (name := self._inputs.outdated) is not None:
            self._renew(name)
        try:
            begin(self._selection.request())
        except BadRequest as problem:
            self._controller.report(problem)
        self._poll()

    def draw(self) -> None:
        """Makes a layer for shapes that say where to run, or takes up the chosen one; a rectangle can be drawn next."""
        self._selection.draw()

    def copy_as(self, words: Callable[[Settings], str]) -> None:
        """Puts what is chosen onto the clipboard, in these words."""
        clipboard = QApplication.clipboard()
        try:
            text = words(self._selection.settings(self._last.approximate, self._spatial))
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

    def report(self, error: BaseException) -> None:
        self._controller.report(error)

    def undocked(self) -> None:
        self._run_view.end_preview()

    def tick(self) -> None:
        """Shows fresh pixels; now and then, or while somebody waits for a run to start, how things stand."""
        self._run_view.tick()
        self._ticks += 1
        if self._last.phase == "starting" or self._ticks % POLL_EVERY == 0:
            self._poll()

    def _connect_panel(self) -> None:
        panel, controller = self.panel, self._controller
        panel.source.valueChanged.connect(self._choose)
        panel.source.openRequested.connect(self.open)
        panel.model.valueChanged.connect(self._choose)
        panel.budget.valueChanged.connect(self._take_budget)
        panel.tile.valueChanged.connect(self._take_tile)
        panel.output.valueChanged.connect(self._look_at_output)
        panel.options.valueChanged.connect(self._take_options)
        panel.extent.drawRequested.connect(self._selection.draw)
        panel.advanced.pythonRequested.connect(partial(self.copy_as, as_python))
        panel.advanced.commandRequested.connect(partial(self.copy_as, as_command))
        panel.runPressed.connect(self.press_main)
        panel.progress.map.pressed.connect(self._overview.go_to)
        panel.cancelPressed.connect(controller.cancel)
        panel.exportRequested.connect(controller.export)
        panel.remedyRequested.connect(self._apply)

    def _apply(self, remedy: Remedy) -> None:
        """What the button beside a problem offers."""
        match remedy:
            case RunApproximately():
                self.run_approximately()
            case SetPixelSize():
                self._inputs.ask_pixel_size()
            case UseBudget():
                self.panel.budget.setValue(Budget.of_bytes(remedy.bytes))
            case TrustFile() | NameArchitecture():
                self._inputs.reload()

    def _chosen(self) -> Image | None:
        return self._selection.image()

    def _list_images(self, _event: object = None) -> None:
        images, shapes = self._selection.images(), self._selection.shapes()
        self.panel.source.setOptions([SourceOption(key, layer.name) for key, layer in images.items()])
        self.panel.extent.setLayers([SourceOption(key, layer.name) for key, layer in shapes.items()])
        self._choose()

    def _layer_removed(self, event: Any) -> None:
        gone = event.value
        if self._run_view.drop(gone):
            self._controller.cancel()
        if key_of(gone) == self.panel.source.value().key:
            self._controller.cancel()
        if isinstance(gone, Image):
            self._inputs.forget(gone)
        self._list_images()

    def _choose(self, _value: object = None) -> None:
        """Starts to prepare the network for what is chosen now."""
        layer = self._chosen()
        self._data_watch.follow(layer)
        if self._is_stale and not self._last.is_active:
            self._is_stale = False
            self._inputs.choose(None)
            self._controller.choose(None, None)
        image = self._inputs.choose(layer)
        self._describe()
        if not self._last.is_active:
            self._controller.choose(image, self.panel.model.value().name, self._selection.prepared_with)

    def _describe(self) -> None:
        """The line under the image."""
        layer, plane = self._chosen(), self._plane.words
        parts = []
        if layer is not None:
            parts = [about(layer, letters_of(layer)), self._inputs.summary(), f"runs on {plane}" if plane else ""]
        self.panel.describe_image("\N{NO-BREAK SPACE}· ".join(text for text in parts if text))

    def _exchanged(self, layer: Image) -> None:
        """The pixels of the chosen image are others now: nothing that is known of it holds."""
        self._controller.cancel()
        self._inputs.forget(layer)
        forget_origin(layer)
        self._is_stale = True
        self._choose()

    def _take_budget(self, budget: Budget) -> None:
        self._selection.has_budget = True
        self._controller.set_budget(budget.bytes)

    def _take_options(self, _value: object = None) -> None:
        self._controller.set_place(self._selection.place)
        self.panel.roi.describe(self._selection.region)
        self._choose()

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

    def _poll(self) -> None:
        self._jobs.deliver()
        self._inputs.look(self._last, self._selection.wanted, self._selection.place.get("device", "auto"))
        before, self._last = self._last, self._controller.poll()
        now, run_view = self._last, self._run_view
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
            run_view.update_metadata(now.verdict.metadata)
        if now.problem is not None and now.problem != before.problem:
            notify(now.problem.notice)
        if now.found is not None and now.found is not before.found:
            self._show_found(now.found, now.prepared)
        if run_view.follow(now.progress):
            self._controller.cancel()
        self._overview.show(now, run_view.shown)
        if before.is_active and not now.is_active:
            self._ended()
        self.panel.showPreview(run_view.look_at_preview())
        self.panel.showNotices(self._inputs.told(now))

    def _take_choice(self, choice: TileChoice) -> None:
        """Shows the tiles that a budget allows, and the budget itself where nobody has set one."""
        self.panel.tile.setChoices(choice.choices, choice.tile, choice.budget)
        self._take_tile(self.panel.tile.value())
        if not self._selection.has_budget:
            self.panel.budget.blockSignals(True)
            self.panel.budget.setValue(Budget.of_bytes(choice.budget))
            self.panel.budget.blockSignals(False)

    def _ended(self) -> None:
        """Shows the last pixels, and takes up what was chosen meanwhile."""
        self._run_view.finish()
        self._choose()
        if self._goes_on:
            self._goes_on = False
            self.run()

    def _add_opened(self, opened: LayerTuple) -> None:
        layer = Layer.create(*opened)
        self._viewer.add_layer(layer)
        self.panel.source.setValue(SourceChoice(key_of(layer)))

    def _renew(self, name: str) -> None:
        """A network was loaded anew: what was prepared with the one before is worth nothing."""
        self._forget(lambda _key, model: model == name)
        if self.panel.model.value().name == name:
            self._controller.choose(None, None)
            self._choose()

    def _forget(self, is_gone: Callable[[Hashable, str], bool]) -> None:
        self._controller.forget(is_gone)

    def _show_run(self, started: Started) -> None:
        """Puts the empty result over its source. Called by the controller when a run has started."""
        layer = self._chosen()
        if layer is None:
            started.run.cancel()
            return
        self._run_view.begin(started, layer, self._name(layer, started.plane))
        self._retarget()

    def _show_found(self, found: ExistingOutput, prepared: Prepared | None) -> None:
        """Puts the result of an earlier run over its source."""
        layer, plane = self._chosen(), self._plane
        if layer is not None and prepared is not None:
            self._run_view.show_found(found, prepared, layer, self._name(layer, plane), plane)

    def _name(self, layer: Image, plane: StackPlane) -> str:
        name = f"{layer.name}: {Path(self.panel.model.shown() or 'result').stem}"
        return f"{name}, {plane.words}" if plane.indices else name

    @property
    def _spatial(self) -> int | None:
        """How many spatial axes the chosen network's image has; None before it is ready."""
        return None if self._last.image is None else self._last.image.ndim

    def _look_at_output(self, _choice: object = None) -> None:
        self._controller.look_at(self.panel.output.value().path, self._plane)

    def _look_at_plane(self) -> None:
        """Notices that another plane is looked at. A run that follows the view follows it there."""
        plane = self._selection.plane(self._spatial)
        if plane == self._plane:
            return
        self._plane = plane
        self._look_at_output()
        self._describe()
        if self._last.is_active and self._last.follows and plane.indices != self._last.plane.indices:
            self._goes_on = True
            self._controller.cancel()

    def _retarget(self) -> None:
        self._look_at_plane()
        if self._run_view.shown is not None and self._cleanup.is_open:
            self._controller.retarget(self._run_view.view)
