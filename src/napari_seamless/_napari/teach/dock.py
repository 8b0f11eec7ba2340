"""The dock widget that teaches: it connects the panel, the lesson in the background, and the viewer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels
from napari.utils.notifications import show_error
from qtpy.QtCore import QEvent, QTimer
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_seamless._napari.layers.live_layers import is_result, key_of, source_of
from napari_seamless._napari.layers.view import visible_region
from napari_seamless._napari.measure.appearance import readable
from napari_seamless._napari.run.lazy_backend import lazy_backend
from napari_seamless._napari.teach import canvas
from napari_seamless._napari.teach.controller import TeachController
from napari_seamless._napari.teach.panel import TeachPanel
from napari_seamless._napari.teach.state import COLOURS, Looked, TeachSnapshot, Topic, new_class
from napari_seamless._napari.widgets.scroll import Column
from napari_seamless._napari.widgets.style import sheet
from napari_seamless.interfaces import LabelClass

if TYPE_CHECKING:
    import napari

POLL_MS = 100
LOOK_AT_STROKES = 5
"""Strokes are compared with what was taken in last at every so many-th poll."""
FIRST = (LabelClass(1, "background", COLOURS[0]), LabelClass(2, "tissue", COLOURS[1]))


@dataclass
class TeachSession:
    """What the dock holds that is not a widget, so that it can be closed when the widget is already gone."""

    controller: TeachController
    disconnect: list[Callable[[], object]] = field(default_factory=list)
    is_open: bool = True

    def close(self, _object: object = None) -> None:
        if self.is_open:
            self.is_open = False
            self.controller.close()
            for undo in self.disconnect:
                undo()


class TeachDock(QWidget):
    """Choose an image, paint strokes, teach, look. No other thread touches Qt or napari."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, pipeline: Any = None) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        found: Any = lazy_backend() if pipeline is None else pipeline
        self._pipeline = found
        self.panel = TeachPanel()
        self._session = TeachSession(TeachController(self._pipeline))
        self._last = TeachSnapshot()
        self._shown: Looked | None = None
        self._taken: int | None = None
        self._ticks = 0
        self._was_docked = False
        self._column = Column(self.panel)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._column)
        self.panel.classes.setValue(FIRST)
        self._restyle()
        self._connect()
        self._list_images()
        self._list_networks()
        self._timer = QTimer(self)
        self._timer.setInterval(POLL_MS)
        self._timer.timeout.connect(self._tick)
        self._timer.start()

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
        self._session.controller.teach(
            Topic(
                key_of(image),
                source_of(image) or readable(image),
                self.panel.classes.value(),
                self.panel.network.currentData() or None,
            )
        )
        self.poll()

    def poll(self) -> TeachSnapshot:
        """Looks at the background now, not at the next tick of the timer."""
        before, self._last = self._last, self._session.controller.poll()
        now, image = self._last, self._chosen()
        if now.looked is not None and now.looked is not self._shown and image is not None:
            self._shown = now.looked
            canvas.show_looked(self._viewer, image, now.looked, self.panel.classes.value())
        if now != before:
            self.panel.showSnapshot(now)
            self._column.updateGeometry()
        if now.problem is not None and now.problem != before.problem:
            show_error(now.problem.notice.sentence)
        if now.said != before.said and not now.problem:
            self._list_networks()
        return now

    def event(self, event: QEvent | None) -> bool:
        """Notices that napari has taken the widget out of its dock, which is how it closes plugins."""
        if event is not None and event.type() == QEvent.Type.ParentChange:
            if self.parent() is not None:
                self._was_docked = True
            elif self._was_docked:
                self._timer.stop()
                self._session.close()
                self.deleteLater()
        return super().event(event)

    def _connect(self) -> None:
        panel, controller, layers = self.panel, self._session.controller, self._viewer.layers.events
        panel.teachPressed.connect(self.teach)
        panel.stopPressed.connect(controller.stop)
        panel.paintPressed.connect(self.paint)
        panel.classPressed.connect(self._add_class)
        panel.keepRequested.connect(lambda name: controller.keep(name, panel.classes.value()))
        panel.classes.valueChanged.connect(self._recolour)
        panel.classes.chosen.connect(self._choose_class)
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

    def _restyle(self, _event: object = None) -> None:
        self.setStyleSheet(sheet(str(self._viewer.theme)))

    def _images(self) -> dict[str, Image]:
        found = (x for x in reversed(self._viewer.layers) if isinstance(x, Image) and not is_result(x))
        return {key_of(layer): layer for layer in found}

    def _chosen(self) -> Image | None:
        return self._images().get(self.panel.image.currentData() or "")

    def _list_images(self, _event: object = None) -> None:
        self.panel.setImages([(key, layer.name) for key, layer in self._images().items()])
        self.panel.showSnapshot(self._last)

    def _list_networks(self) -> None:
        self.panel.setNetworks(self._pipeline.added_models())

    def _layer_removed(self, event: Any) -> None:
        if key_of(event.value) == self.panel.image.currentData():
            self._session.controller.stop()
        self._list_images()

    def _tick(self) -> None:
        self._ticks += 1
        image = self._chosen()
        if image is not None and self._last.is_teaching and self._ticks % LOOK_AT_STROKES == 0:
            self._give_strokes(image)
            self._watch(image)
        self.poll()

    def _give_strokes(self, image: Image) -> None:
        """What is painted, if it is not what was taken in last."""
        layer = canvas.strokes_of(self._viewer, image)
        if layer is None:
            return
        labels, step, number = canvas.painted(layer)
        if number != self._taken:
            self._taken = number
            self._session.controller.paint(labels, step)

    def _watch(self, image: Image) -> None:
        view = visible_region(self._viewer, image)
        self._session.controller.watch(None if view is None else canvas.middle_of(view))

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
