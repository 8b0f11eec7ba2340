"""The dock widget that measures: it connects the panel, the background work, and the viewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer, Shapes
from qtpy.QtCore import QTimer
from qtpy.QtGui import QGuiApplication

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.dock import Cleanup, Dock
from napari_seamless._napari.layers.asked_outlines import show_asked
from napari_seamless._napari.layers.axes import own_region
from napari_seamless._napari.layers.drawn_shapes import outlines
from napari_seamless._napari.layers.following import follow
from napari_seamless._napari.layers.live_layers import ResultLayers, axes_of, is_result, key_of
from napari_seamless._napari.layers.readable import readable, result_of, told_of
from napari_seamless._napari.layers.readings import setting_of
from napari_seamless._napari.layers.source_layer import placed_as_said, source_of
from napari_seamless._napari.layers.view import visible_region
from napari_seamless._napari.measure import appearance, areas, object_layers
from napari_seamless._napari.measure.controller import HasClasses, MeasureController
from napari_seamless._napari.measure.panel import PLACES, MeasurePanel
from napari_seamless._napari.measure.stack_position import stack_position
from napari_seamless._napari.measure.state import (
    VIEW,
    WHOLE,
    ClassRow,
    MeasureRequest,
    MeasureSnapshot,
    OpenedResult,
)
from napari_seamless._napari.notifications import notify
from napari_seamless._napari.widgets.combo import set_options
from napari_seamless._napari.widgets.scroll import Column
from napari_seamless.errors import BadRequest
from napari_seamless.runs.export_options import COMPUTED

if TYPE_CHECKING:
    import napari
    import numpy as np
    from numpy.typing import NDArray

    from napari_seamless.geometry import Region

POLL_MS = 60
SETTLE_MS = 400
"""Classes are written into a result when nobody has changed them for so long."""


@dataclass(frozen=True)
class ClassEdit:
    """Classes that were edited and are not saved yet, and the name of their result."""

    result: HasClasses
    rows: tuple[ClassRow, ...]
    name: str


class ClassWriter:
    """Saves edited classes. It outlives the dock, so that what was edited last is saved as it closes."""

    def __init__(self, controller: MeasureController) -> None:
        self._controller = controller
        self._edit: ClassEdit | None = None

    def edit(self, edit: ClassEdit) -> None:
        self._edit = edit

    def save(self) -> None:
        """Writes what was edited since the last time."""
        edit, self._edit = self._edit, None
        if edit is not None:
            self._controller.save_classes(edit.result, [row.label for row in edit.rows], edit.name)


class MeasureDock(Dock):
    """Choose labels, see and edit their classes, measure them."""

    def __init__(self, napari_viewer: napari.viewer.Viewer, backend: Backend | None = None) -> None:
        super().__init__(napari_viewer, backend)
        self.panel = MeasurePanel()
        self._controller = MeasureController(self._backend, self._jobs, self._add)
        self._writer = ClassWriter(self._controller)
        self._of_layer = Cleanup()
        self._last = MeasureSnapshot()
        self._rows: dict[str, tuple[ClassRow, ...]] = {}
        self._measured: str | None = None
        self._column = Column(self.panel)
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self._writer.save)
        self._cleanup.add(self._writer.save, self._forget_layer)
        self._start(self._column, POLL_MS)
        self._connect_panel()
        self._listen_to_layers(self._list_layers)
        self._list_layers()

    @property
    def snapshot(self) -> MeasureSnapshot:
        """How things stood when the dock last looked."""
        return self._last

    def open(self, path: str | Path) -> None:
        """Opens a result in the background, adds it to the viewer and chooses it."""
        self._controller.open(Path(path))

    def measure(self) -> None:
        """Starts to measure what is chosen."""
        layer = self._chosen()
        if layer is None:
            return
        try:
            request = self._request(layer)
        except BadRequest as error:
            self._controller.report(error)
        else:
            self._measured = key_of(layer)
            self._controller.measure(request)
        self.poll()

    def poll(self) -> MeasureSnapshot:
        """Looks at the background now, not at the next tick of the timer."""
        self._jobs.deliver()
        before, self._last = self._last, self._controller.poll()
        now = self._last
        if now != before:
            if now.found is not None and now.found is not before.found:
                self._list_found(now)
            self.panel.showSnapshot(now)
            self._column.updateGeometry()
        if now.problem is not None and now.problem != before.problem:
            notify(now.problem.notice)
        return now

    def report(self, error: BaseException) -> None:
        self._controller.report(error)

    def tick(self) -> None:
        self.poll()

    def undocked(self) -> None:
        self._settle.stop()

    def _connect_panel(self) -> None:
        panel, controller = self.panel, self._controller
        panel.labels.currentIndexChanged.connect(self._choose)
        panel.classes.valueChanged.connect(self._take_classes)
        panel.boundary.currentIndexChanged.connect(self._take_boundary)
        panel.styleChanged.connect(self._take_style)
        panel.openRequested.connect(self.open)
        panel.measurePressed.connect(self.measure)
        panel.cancelPressed.connect(controller.cancel)
        panel.saveRequested.connect(controller.save_csv)
        panel.copyPressed.connect(self._copy)
        panel.centroidsPressed.connect(self._show_centroids)
        panel.objects.rowChosen.connect(self._look_at)

    def _layers(self, kind: type[Layer]) -> dict[str, Any]:
        """Layers of a kind that can be chosen, topmost first, by key."""
        found = (layer for layer in reversed(self._viewer.layers) if isinstance(layer, kind))
        return {key_of(layer): layer for layer in found if not appearance.is_preview(layer)}

    def _chosen(self) -> Labels | None:
        return self._layers(Labels).get(self.panel.labels.currentData() or "")

    def _list_layers(self, _event: object = None) -> None:
        panel = self.panel
        images = {key: layer for key, layer in self._layers(Image).items() if not is_result(layer)}
        set_options(panel.image, [("", "None"), *((key, layer.name) for key, layer in images.items())])
        shapes = [(key, f"Inside {layer.name}") for key, layer in self._layers(Shapes).items()]
        set_options(panel.where, [*PLACES, *shapes])
        set_options(panel.labels, [(key, layer.name) for key, layer in self._layers(Labels).items()])
        if panel.labels.currentData() is None:
            self._choose()

    def _choose(self, _index: object = None) -> None:
        """Shows the labels that are chosen now."""
        self._writer.save()
        self._forget_layer()
        self._controller.forget()
        layer = self._chosen()
        if layer is None:
            self.panel.describe("")
            self.panel.showNotices(())
            self.panel.set_classes((), None)
            self.panel.showSnapshot(self.poll())
            return
        rows = self._rows.setdefault(key_of(layer), appearance.rows_of(layer))
        self.panel.describe(appearance.about_labels(layer))
        self.panel.showNotices(told_of(layer))
        self.panel.set_classes(rows, next((r.value for r in rows if r.name.lower() == appearance.RIM_NAME), None))
        self._read_style()
        for emitter in (layer.events.opacity, layer.events.contour):
            emitter.connect(self._read_style)
            self._of_layer.add(partial(emitter.disconnect, self._read_style))
        self.panel.showSnapshot(self.poll())

    def _forget_layer(self) -> None:
        """Listens to the layer no more that was chosen before."""
        self._of_layer.close()
        self._of_layer = Cleanup()

    def _read_style(self, _event: object = None) -> None:
        layer = self._chosen()
        if layer is not None:
            self.panel.show_style(float(layer.opacity), int(layer.contour))

    def _take_style(self, opacity: float, contour: int) -> None:
        layer = self._chosen()
        if layer is not None:
            layer.opacity, layer.contour = opacity, contour

    def _take_classes(self, rows: tuple[ClassRow, ...]) -> None:
        """Puts edited classes on the layer at once, and into its result when the user has paused."""
        layer = self._chosen()
        if layer is None:
            return
        key = key_of(layer)
        before, self._rows[key] = self._rows.get(key, ()), rows
        names = [(row.value, row.name, row.colour, row.is_shown) for row in rows]
        if names != [(row.value, row.name, row.colour, row.is_shown) for row in before]:
            appearance.show_classes(layer, rows)
        result = result_of(layer)
        if result is not None and [row.label for row in rows] != [row.label for row in before]:
            self._writer.edit(ClassEdit(result, rows, layer.name))
            self._settle.start()
        boundary = self.panel.boundary.currentData()
        self.panel.set_classes(rows, int(boundary) if boundary else None)

    def _take_boundary(self, _index: object = None) -> None:
        """A boundary is no object itself."""
        boundary = self.panel.boundary.currentData()
        rows = self.panel.classes.value()
        if boundary and any(row.is_counted and row.value == int(boundary) for row in rows):
            changed = tuple(_uncounted(row) if row.value == int(boundary) else row for row in rows)
            self.panel.classes.setValue(changed)

    def _request(self, layer: Labels) -> MeasureRequest:
        panel = self.panel
        where, rows = panel.where.currentData() or WHOLE, panel.classes.value()
        region: Region | None = None
        roi: Sequence[NDArray[np.float64]] | str | None = None
        if where == COMPUTED:
            roi = COMPUTED
        elif where == VIEW:
            region = visible_region(self._viewer, layer)
            if region is None:
                raise BadRequest("what is on screen must show the labels, in 2-D; it does not; move the view over them")
            result = result_of(layer)
            if result is not None:
                region = own_region(region, axes_of(layer, result.info.ndim))
        elif where != WHOLE:
            shapes = self._layers(Shapes)[where]
            roi = outlines(shapes, layer)
            if not roi:
                raise BadRequest(
                    f"shapes must enclose something; {shapes.name} has no polygon, rectangle or ellipse; draw one"
                )
        image = self._layers(Image).get(panel.image.currentData() or "")
        rim = int(panel.boundary.currentData() or 0) or None
        return MeasureRequest(
            what=readable(layer),
            image=None if image is None else source_of(image) or readable(image),
            axes=None if image is None or source_of(image) is not None else setting_of(image, None).axes,
            region=region,
            roi=roi,
            classes=_counted(rows, rim),
            boundary=rim,
            min_area=str(panel.smallest.value()),
            names=tuple(row.label for row in rows),
        )

    def _list_found(self, now: MeasureSnapshot) -> None:
        """Labels that had no names get a row each, where they are classes and not single objects."""
        layer, known = self._chosen(), self.panel.classes.value()
        if layer is None or now.found is None:
            return
        rows = appearance.rows_for(layer, [area.value for area in now.found.areas], known, now.found.counted)
        if len(known) < len(rows) <= MOST_LISTED:
            self._rows[key_of(layer)] = rows
            if appearance.is_named(layer):
                appearance.show_classes(layer, rows)
            boundary = self.panel.boundary.currentData()
            self.panel.set_classes(rows, int(boundary) if boundary else None)

    def _add(self, opened: OpenedResult) -> None:
        """Puts a result that was opened on screen: one of a plane of a stack on that plane, if the stack is there."""
        result, info = opened.result, opened.result.info
        if result.kind != "labels":
            error = BadRequest(f"only labels are measured; {info.name} is an image; open a segmentation")
            self._controller.report(error)
            return
        position = stack_position(self._viewer, opened.origin, info.levels.shape(0))
        placed: dict[str, Any] = {} if position is None else position.placed
        if position is None:
            placed = dict(placed_as_said(info))
            if info.pixel_size is not None:
                placed["units"] = (info.unit,) * info.ndim
        axes = () if position is None else position.axes
        (layer,) = ResultLayers(self._viewer, result, info.name, placed, axes=axes).layers
        if position is not None:
            follow(position.over, [layer], opened.origin.scale, opened.origin.offset, axes)
        show_asked(self._viewer, result, layer)
        self.panel.labels.setCurrentIndex(self.panel.labels.findData(key_of(layer)))

    def _look_at(self, row: int) -> None:
        layer, found = self._chosen(), self._last.found
        if layer is not None and found is not None and self._measured == key_of(layer):
            columns = (name for name in found.objects if name.endswith(("_min", "_max")))
            object_layers.look_at(self._viewer, layer, {name: float(found.objects[name][row]) for name in columns})

    def _show_centroids(self) -> None:
        layer, found = self._chosen(), self._last.found
        if layer is None or found is None or not found.count():
            return
        by_value = {row.value: row.colour for row in self.panel.classes.value()}
        colours = [by_value.get(int(value), "#ffffff") for value in found.objects["label"]]
        size = max(float(found.objects["pixels"].mean()) ** (1 / found.ndim) / 2, 3.0)
        self._viewer.add_layer(object_layers.centroids(layer, found.objects, colours, size))

    def _copy(self) -> None:
        """Puts areas and counts on the clipboard, as a spreadsheet takes them."""
        clipboard, found = QGuiApplication.clipboard(), self._last.found
        if clipboard is not None and found is not None:
            clipboard.setText("\n".join("\t".join(line) for line in areas.lines(found)))


MOST_LISTED = 256
"""As many as a one-byte image has; more are single objects with a number each."""


def _counted(rows: Sequence[ClassRow], rim: int | None) -> tuple[int, ...] | None:
    """What is ticked; None where that is everything, so that labels that nobody has met yet are counted as well."""
    if all(row.is_counted for row in rows if row.value not in (0, rim)):
        return None
    return tuple(row.value for row in rows if row.is_counted)


def _uncounted(row: ClassRow) -> ClassRow:
    return ClassRow(row.value, row.name, row.colour, row.is_shown, False)
