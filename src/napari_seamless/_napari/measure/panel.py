"""The face of the dock that measures: choices above, what was found below. Knows neither the viewer nor the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QFileDialog,
    QFrame,
    QGridLayout,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from napari_seamless._napari.measure.areas import AreaTable
from napari_seamless._napari.measure.classes import ClassTable
from napari_seamless._napari.measure.histogram import BINS, SHARE, Bars, Histogram
from napari_seamless._napari.measure.objects import ObjectTableView
from napari_seamless._napari.measure.state import VIEW, WHOLE, ClassRow, MeasureSnapshot
from napari_seamless._napari.widgets import NameList, NoticeLabel
from napari_seamless._napari.widgets.combo import set_options
from napari_seamless._napari.widgets.notice_list import NoticeList
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless.runs.export_options import COMPUTED

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements

STEPS = 1000
WIDTH, CONTOUR_WIDTH = 350, 150
PLACES = (
    (WHOLE, "What was asked for"),
    (VIEW, "What is on screen"),
    (COMPUTED, "All that was computed"),
)
UNNAMED = "These labels have no names: every label is counted as objects. Measure to list them."
Options = Sequence[tuple[str, str]]


class MeasurePanel(QWidget):
    """`styleChanged` tells (opacity from 0 to 1, width of the contour, 0 for filled labels)."""

    measurePressed = Signal()
    cancelPressed = Signal()
    openRequested = Signal(object)
    saveRequested = Signal(object)
    copyPressed = Signal()
    centroidsPressed = Signal()
    styleChanged = Signal(float, int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.labels, self.where, self.boundary, self.image = (NameList() for _ in range(4))
        self.classes = ClassTable()
        self.areas, self.objects, self.histogram = AreaTable(), ObjectTableView(), Histogram()
        self.notice, self.notices = NoticeLabel(), NoticeList()
        self.smallest = QSpinBox()
        self.opacity = QSlider(Qt.Orientation.Horizontal)
        self.contour = QSpinBox()
        self._open = QPushButton("Open…")
        self._main, self._cancel = QPushButton("Measure"), QPushButton("Cancel")
        self._bar = QProgressBar()
        self._about, self._unnamed, self._status, self._notes = (_hint() for _ in range(4))
        self._which = NameList()
        self._save, self._copy, self._points = QPushButton("Save CSV…"), QPushButton("Copy"), QPushButton("Centroids")
        self._found: Measurements | None = None
        self._set_up()
        self._lay_out()
        self._connect()
        set_options(self.where, PLACES)
        self._show_found()
        self.showSnapshot(MeasureSnapshot())

    def minimumSizeHint(self) -> QSize:
        """Wide enough for the tables, which would do with less."""
        hint = super().minimumSizeHint()
        return QSize(max(hint.width(), WIDTH), hint.height())

    def describe(self, text: str) -> None:
        """A line under the labels: their size and so on."""
        self._about.setText(text)
        self._about.setVisible(bool(text))

    def showNotices(self, sentences: Sequence[str]) -> None:
        """What was told when the labels were made."""
        self.notices.setValue(sentences)

    def set_classes(self, rows: Sequence[ClassRow], chosen_boundary: int | None) -> None:
        """The classes there are. Signals of the table are not sent: nobody has edited it."""
        self.classes.blockSignals(True)
        self.classes.setValue(rows)
        self.classes.blockSignals(False)
        is_there = self.labels.currentData() is not None
        self.classes.setVisible(bool(rows))
        self._unnamed.setVisible(is_there and not rows)
        set_options(self.boundary, [("", "None"), *((str(r.value), r.name) for r in rows if r.value)])
        self.boundary.setCurrentIndex(max(self.boundary.findData(str(chosen_boundary)), 0))

    def show_style(self, opacity: float, contour: int) -> None:
        for widget, value in ((self.opacity, round(opacity * 100)), (self.contour, contour)):
            widget.blockSignals(True)
            widget.setValue(value)
            widget.blockSignals(False)

    def showSnapshot(self, now: MeasureSnapshot) -> None:
        is_there = self.labels.currentData() is not None
        for widget in (self.opacity, self.contour):
            widget.setEnabled(is_there)
        self._main.setEnabled(is_there and not now.is_measuring)
        self._main.setText("Measuring…" if now.is_measuring else "Measure")
        self._cancel.setEnabled(now.is_measuring and not now.is_stopping)
        self._bar.setVisible(now.is_measuring)
        self._bar.setValue(int(now.fraction * STEPS))
        self.notice.setValue(None if now.problem is None else now.problem.notice)
        self._status.setText(_status(now, is_there))
        self._status.setVisible(bool(self._status.text()))
        if now.found is not self._found:
            self._found = now.found
            self._show_found()

    def _show_found(self) -> None:
        found = self._found
        self.areas.setValue(found, self._colours)
        self.objects.setValue(None if found is None else found.objects)
        names = [] if found is None else list(found.counted)
        set_options(self._which, [("", "all objects"), *((n, n) for n in names)] if len(names) != 1 else [])
        self._which.setVisible(len(names) > 1)
        remarks = () if found is None else found.remarks
        self._notes.setText(" ".join(f"{remark.text[:1].upper()}{remark.text[1:]}." for remark in remarks))
        self._notes.setVisible(bool(self._notes.text()))
        for button in (self._save, self._copy, self._points):
            button.setVisible(found is not None)
        self._points.setEnabled(found is not None and found.count() > 0)
        self._show_histogram()

    @property
    def _colours(self) -> dict[int, str]:
        return {row.value: row.colour for row in self.classes.value()}

    def _show_histogram(self) -> None:
        found = self._found
        name = self._which.currentData() or None
        if found is None or not found.count(name):
            self.histogram.setValue(None)
            return
        sizes = found.sizes(name)
        until = float(np.quantile(sizes, SHARE, method="higher"))
        counts, edges = found.histogram(name, BINS, until)
        unit = {"pixels": "px", "area_um2": "µm²", "volume_um3": "µm³"}[found.area_column]
        named = found.counted[0] if len(found.counted) == 1 else name
        colour = next(
            (c for a in found.areas if a.name == named and (c := a.colour or self._colours.get(a.value))), "#8aa0b8"
        )
        beyond = int((sizes > until).sum())
        self.histogram.setValue(Bars(counts, edges, unit, colour, found.median(name) or 0.0, beyond))

    def _set_up(self) -> None:
        self.labels.setPlaceholderText("no labels yet")
        self.smallest.setRange(0, 1_000_000)
        self.smallest.setSuffix(" px")
        self.smallest.setToolTip("Objects of fewer pixels are left out")
        self.opacity.setRange(0, 100)
        self.contour.setRange(0, 20)
        self.contour.setSpecialValueText("filled")
        self.contour.setPrefix("contour ")
        self.contour.setSuffix(" px")
        self.contour.setToolTip("Width of the outlines, in pixels of the screen's level; 0 fills the labels")
        self.boundary.setToolTip("A class around objects that keeps them apart: its pixels count to the nearest object")
        self.image.setToolTip("Means of its channels are added to each object")
        named: tuple[tuple[QWidget, str], ...] = (
            (self.labels, "Labels"),
            (self.where, "Where to measure"),
            (self.boundary, "Boundary class"),
            (self.image, "Intensity image"),
            (self.smallest, "Smallest object"),
            (self.opacity, "Opacity"),
            (self.contour, "Contour"),
            (self._which, "Class of the histogram"),
        )
        for widget, name in named:
            widget.setAccessibleName(name)
        self._open.setToolTip("Open a result (.ome.zarr) that was saved before")
        self.contour.setFixedWidth(CONTOUR_WIDTH)
        self._unnamed.setText(UNNAMED)
        self._bar.setRange(0, STEPS)
        self._main.setObjectName("main")
        self._cancel.setObjectName("second")

    def _connect(self) -> None:
        self._open.clicked.connect(self._ask_result)
        self._main.clicked.connect(self.measurePressed)
        self._cancel.clicked.connect(self.cancelPressed)
        self._save.clicked.connect(self._ask_table)
        self._copy.clicked.connect(self.copyPressed)
        self._points.clicked.connect(self.centroidsPressed)
        self._which.currentIndexChanged.connect(lambda _: self._show_histogram())
        for widget in (self.opacity, self.contour):
            widget.valueChanged.connect(
                lambda _: self.styleChanged.emit(self.opacity.value() / 100, self.contour.value())
            )

    def _ask_result(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Open a result (.ome.zarr)")
        if name:
            self.openRequested.emit(Path(name))

    def _ask_table(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save the table", "objects.csv", "Tables (*.csv)")
        if name:
            self.saveRequested.emit(Path(name if name.endswith(".csv") else f"{name}.csv"))

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(6)
        column.addLayout(self._choices())
        buttons = QHBoxLayout()
        buttons.addWidget(self._main, 3)
        buttons.addWidget(self._cancel, 1)
        column.addLayout(buttons)
        saving = QHBoxLayout()
        for button in (self._save, self._copy, self._points):
            saving.addWidget(button)
        shown = (self._bar, self._status, self.notice, self.areas, self._which, self.histogram, self.objects)
        for widget in shown:
            column.addWidget(widget)
        column.addLayout(saving)
        column.addWidget(self._notes)
        column.addStretch(1)

    def _choices(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(1, 1)
        chosen, look = QHBoxLayout(), QHBoxLayout()
        for row in (chosen, look):
            row.setSpacing(6)  # else there is none, as the grid has two
        chosen.addWidget(self.labels, 1)
        chosen.addWidget(self._open)
        look.addWidget(self.opacity, 1)
        look.addWidget(self.contour)
        grid.addWidget(PlainLabel("Labels"), 0, 0)
        grid.addLayout(chosen, 0, 1)
        told = QVBoxLayout()
        told.addWidget(self._about)
        told.addWidget(self.notices)
        grid.addLayout(told, 1, 1)
        grid.addWidget(PlainLabel("Display"), 2, 0)
        grid.addLayout(look, 2, 1)
        grid.addWidget(self.classes, 3, 0, 1, 2)
        grid.addWidget(self._unnamed, 4, 0, 1, 2)
        grid.addWidget(_rule(), 5, 0, 1, 2)
        rows: tuple[tuple[str, QWidget], ...] = (
            ("Where", self.where),
            ("Boundary", self.boundary),
            ("Smallest", self.smallest),
            ("Intensity", self.image),
        )
        for number, (name, widget) in enumerate(rows, 6):
            grid.addWidget(PlainLabel(name), number, 0)
            grid.addWidget(widget, number, 1)
        return grid


def _status(now: MeasureSnapshot, is_there: bool) -> str:
    if now.is_stopping:
        return "Stopping…"
    if now.is_measuring:
        return "Counting every pixel, piece by piece…"
    if now.message:
        return now.message
    return "" if is_there else "Open a result, or add a labels layer, to begin."


def _hint() -> PlainLabel:
    label = PlainLabel()
    label.setObjectName("hint")
    label.setWordWrap(True)
    return label


def _rule() -> QFrame:
    line = QFrame()
    line.setObjectName("rule")
    line.setFrameShape(QFrame.Shape.HLine)
    return line
