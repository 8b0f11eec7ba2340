"""The face of the dock that teaches. Knows neither the viewer nor the library."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seamless._napari.teach.classes import ClassList
from napari_seamless._napari.teach.curve import LossCurve
from napari_seamless._napari.teach.state import TeachSnapshot
from napari_seamless._napari.widgets import NameList, NoticeLabel
from napari_seamless._napari.widgets.combo import set_options
from napari_seamless._napari.widgets.plain_label import PlainLabel

WIDTH = 320
NEW = "A small new network"
Options = Sequence[tuple[str, str]]


class TeachPanel(QWidget):
    """`keepRequested` tells the name under which what was learned is to be kept."""

    teachPressed = Signal()
    stopPressed = Signal()
    paintPressed = Signal()
    classPressed = Signal()
    keepRequested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image, self.network = NameList("Image"), NameList("Network to begin with")
        self.classes, self.curve, self.notice = ClassList(), LossCurve(), NoticeLabel()
        self._paint, self._more = QPushButton("Paint"), QPushButton("Add a class")
        self._main, self._keep = QPushButton("Teach"), QPushButton("Keep…")
        self._hint, self._status = _words(), _words()
        self._is_teaching = False
        self._set_up()
        self._lay_out()
        self.showSnapshot(TeachSnapshot())

    def setImages(self, options: Options) -> None:
        """The (key, name) of images to choose from."""
        set_options(self.image, options)

    def setNetworks(self, names: Sequence[str]) -> None:
        """The models of a person's own that a lesson may go on with."""
        set_options(self.network, [("", NEW), *((name, name) for name in names)])

    def showSnapshot(self, now: TeachSnapshot) -> None:
        self._is_teaching = now.is_teaching
        has_image = self.image.currentData() is not None
        self._main.setText("Stopping…" if now.is_stopping else "Stop" if now.is_teaching else "Teach")
        self._main.setEnabled(has_image and not now.is_stopping)
        self._keep.setEnabled(now.has_lesson and not now.is_teaching)
        for widget in (self.image, self.network, self._more):
            widget.setEnabled(not now.is_teaching)
        self._paint.setEnabled(has_image)
        self._hint.setText(HOW if has_image else "Open an image to begin.")
        self.notice.setValue(now.problem.notice if now.problem is not None else None)
        self.curve.setValue(now.losses, now.held_out)
        self._status.setText(_status(now))

    def _set_up(self) -> None:
        self._main.setObjectName("main")
        self.image.setPlaceholderText("no image yet")
        self._paint.setToolTip("Select the layer of strokes, with its brush (made when there is none yet)")
        self._more.setToolTip("One more class to tell apart; a lesson begins anew with it")
        self._keep.setToolTip("Save what was learned as a model, with a card")
        self._main.setToolTip("Learn from the strokes; more may be painted meanwhile. Stop and go on as you like")
        self._main.clicked.connect(self._press)
        self._paint.clicked.connect(self.paintPressed)
        self._more.clicked.connect(self.classPressed)
        self._keep.clicked.connect(self._ask_name)
        self.setMinimumWidth(WIDTH)

    def _press(self) -> None:
        (self.stopPressed if self._is_teaching else self.teachPressed).emit()

    def _ask_name(self) -> None:
        name, is_given = QInputDialog.getText(self, "Keep the network", "Name (letters, digits, dots and dashes):")
        if is_given and name.strip():
            self.keepRequested.emit(name.strip())

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for row, (name, combo) in enumerate((("Image", self.image), ("Network", self.network))):
            grid.addWidget(PlainLabel(name), row, 0)
            grid.addWidget(combo, row, 1)
        column.addLayout(grid)
        column.addWidget(self._hint)
        column.addWidget(self.classes)
        beside = QHBoxLayout()
        beside.addWidget(self._paint)
        beside.addWidget(self._more)
        column.addLayout(beside)
        buttons = QHBoxLayout()
        buttons.addWidget(self._main, 3)
        buttons.addWidget(self._keep, 1)
        column.addLayout(buttons)
        shown: tuple[QWidget, ...] = (self._status, self.notice, self.curve)
        for widget in shown:
            column.addWidget(widget)
        column.addStretch(1)


HOW = "Paint a few strokes of each class, here and there, and press Teach. Where it goes wrong, paint more."


def _status(now: TeachSnapshot) -> str:
    if now.is_teaching and not now.losses:
        return "Preparing the network…"
    if now.is_teaching:
        return f"Step {now.step}. What is on screen is shown anew every few seconds."
    if now.message:
        return now.message
    return f"Stopped after step {now.step}. Teach goes on from there." if now.has_lesson else ""


def _words() -> PlainLabel:
    label = PlainLabel()
    label.setObjectName("hint")
    label.setWordWrap(True)
    return label
