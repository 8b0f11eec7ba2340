"""The dock widget that teaches: it connects the panel, the lesson in the background, and the viewer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.dock import Dock
from napari_seamless._napari.layers.live_layers import is_result, key_of
from napari_seamless._napari.layers.readable import readable
from napari_seamless._napari.layers.source_layer import source_of
from napari_seamless._napari.layers.view import visible_region
from napari_seamless._napari.notifications import notify
from napari_seamless._napari.teach import canvas
from napari_seamless._napari.teach.controller import TeachController
from napari_seamless._napari.teach.panel import TeachPanel
from napari_seamless._napari.teach.state import COLOURS, LessonSetup, Prediction, TeachSnapshot, new_class
from napari_seamless._napari.widgets.scroll import Column
from napari_seamless.interfaces import LabelClass

if TYPE_CHECKING:
    import napari

POLL_MS = 100
LOOK_AT_STROKES = 5
"""Strokes are compared with what was taken in last at every so many-th poll."""
FIRST = (LabelClass(1, "background", COLOURS[0]), LabelClass(2, "tissue", COLOURS[1]))


class TeachDock(Dock):
    """Choose an image, paint strokes, teach, look."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, backend: Backend | None = None) -> None:
        super().__init__(napari_viewer, backend)
        self.panel = TeachPanel()
        self._controller = TeachController(self._backend, self._jobs)
        self._last = TeachSnapshot()
        self._shown: Prediction | None = None
        self._taken: int | None = None
        self._ticks = 0
        self._column = Column(self.panel)
        self.panel.classes.setValue(FIRST)
        self._start(self._column, POLL_MS)
        self._connect()
        self._listen_to_layers(self._list_images, self._layer_removed)
        self._list_images()
        self._list_networks()

    @property
    def snapshot(self) -> TeachSnapshot:
        """How things stood when the dock last looked."""
        return self._last

    def paint(self) -> Labels | None:
        """Selects the layer of strokes over the chosen image, which is made when there is none, with its brush."""
        image = self._chosen()
        if image is None:
            return None
        layer = canvas.strokes_of(self._viewer, image)
        if layer is None:
            layer = canvas.strokes_layer(image, self.panel.classes.value())
            self._viewer.add_layer(layer)
            self.panel.classes.choose(layer.selected_label)
        self._viewer.layers.selection.active = layer
        layer.mode = "paint"
        return layer

    def teach(self) -> None:
        """Learns from what is painted."""
        image = self._chosen()
        if image is None:
            return
        if canvas.strokes_of(self._viewer, image) is None:
            self.paint()
        self._taken = None
        self._give_strokes(image)
        self._watch(image)
        self._controller.teach(
            LessonSetup(
                key_of(image),
                source_of(image) or readable(image),
                self.panel.classes.value(),
                self.panel.network.currentData() or None,
            )
        )
        self.poll()

    def poll(self) -> TeachSnapshot:
        """Looks at the background now, not at the next tick of the timer."""
        self._jobs.deliver()
        before, self._last = self._last, self._controller.poll()
        now, image = self._last, self._chosen()
        if now.prediction is not None and now.prediction is not self._shown and image is not None:
            self._shown = now.prediction
            canvas.show_prediction(self._viewer, image, now.prediction, self.panel.classes.value())
        if now != before:
            self.panel.showSnapshot(now)
            self._column.updateGeometry()
        if now.problem is not None and now.problem != before.problem:
            notify(now.problem.notice)
        if now.message != before.message and not now.problem:
            self._list_networks()
        return now

    def report(self, error: BaseException) -> None:
        self._controller.report(error)

    def tick(self) -> None:
        """Takes in what was painted meanwhile, now and then, and looks at the background."""
        self._ticks += 1
        image = self._chosen()
        if image is not None and self._last.is_teaching and self._ticks % LOOK_AT_STROKES == 0:
            self._give_strokes(image)
            self._watch(image)
        self.poll()

    def _connect(self) -> None:
        panel, controller = self.panel, self._controller
        panel.teachPressed.connect(self.teach)
        panel.stopPressed.connect(controller.stop)
        panel.paintPressed.connect(self.paint)
        panel.classPressed.connect(self._add_class)
        panel.keepRequested.connect(lambda name: controller.keep(name, panel.classes.value()))
        panel.classes.valueChanged.connect(self._recolour)
        panel.classes.chosen.connect(self._choose_class)

    def _images(self) -> dict[str, Image]:
        found = (x for x in reversed(self._viewer.layers) if isinstance(x, Image) and not is_result(x))
        return {key_of(layer): layer for layer in found}

    def _chosen(self) -> Image | None:
        return self._images().get(self.panel.image.currentData() or "")

    def _list_images(self, _event: object = None) -> None:
        self.panel.setImages([(key, layer.name) for key, layer in self._images().items()])
        self.panel.showSnapshot(self._last)

    def _list_networks(self) -> None:
        self.panel.setNetworks(self._backend.added_models())

    def _layer_removed(self, event: Any) -> None:
        if key_of(event.value) == self.panel.image.currentData():
            self._controller.stop()
        self._list_images()

    def _give_strokes(self, image: Image) -> None:
        """What is painted, if it is not what was taken in last."""
        layer = canvas.strokes_of(self._viewer, image)
        if layer is None:
            return
        labels, step, number = canvas.painted(layer)
        if number != self._taken:
            self._taken = number
            self._controller.paint(labels, step)

    def _watch(self, image: Image) -> None:
        view = visible_region(self._viewer, image)
        self._controller.watch(None if view is None else canvas.middle_of(view))

    def _add_class(self) -> None:
        classes = self.panel.classes.value()
        self.panel.classes.setValue((*classes, new_class(classes)))

    def _recolour(self, classes: tuple[LabelClass, ...]) -> None:
        image = self._chosen()
        for layer in self._viewer.layers if image is not None else ():
            if isinstance(layer, Labels) and key_of(image) in (
                layer.metadata.get(canvas.STROKES),
                layer.metadata.get(canvas.TAUGHT),
            ):
                canvas.show_classes(layer, classes)

    def _choose_class(self, value: int) -> None:
        layer = self.paint()
        if layer is not None:
            layer.selected_label = value
