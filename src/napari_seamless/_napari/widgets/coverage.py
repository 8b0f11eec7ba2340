"""A small map of the result: what is done, what is in work, and what is on screen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt, Signal
from qtpy.QtGui import QColor, QImage, QMouseEvent, QPainter, QPaintEvent, QPalette, QPen
from qtpy.QtWidgets import QWidget

from napari_seamless.geometry import Region

HEIGHT, WIDEST = 84, 150


@dataclass(frozen=True)
class Coverage:
    """Which part of each cell is done (0 to 255), and regions of the result, which has the `shape` (y, x)."""

    shape: tuple[int, int]
    cells: NDArray[np.uint8]
    in_work: tuple[Region, ...] = ()
    view: Region | None = None
    failed: tuple[Region, ...] = ()


class CoverageMap(QWidget):
    """Draws a coverage. `pressed` names a place of the result, (y, x) in its pixels, that the user wants to see."""

    pressed = Signal(float, float)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: Coverage | None = None
        self.setObjectName("chart")
        self.setFixedHeight(HEIGHT)
        self.setAccessibleName("What is done")
        self.setToolTip("What is done (filled), in work (outlined) and on screen (framed). Click to go there.")
        self.setVisible(False)

    def value(self) -> Coverage | None:
        return self._value

    def setValue(self, value: Coverage | None) -> None:
        """Shows another coverage; nothing is drawn where it is the same."""
        before, self._value = self._value, value
        self.setVisible(value is not None)
        if value is not None:
            height, width = value.shape
            self.setFixedWidth(max(min(round(HEIGHT * width / height), WIDEST), HEIGHT // 3))
        if value is None or before is None or not _same(value, before):
            self.update()

    def mousePressEvent(self, event: QMouseEvent | None) -> None:
        if event is None or self._value is None:
            return
        frame, (height, width) = self._frame(self._value.shape), self._value.shape
        point = event.position()
        y, x = (point.y() - frame.y()) / frame.height(), (point.x() - frame.x()) / frame.width()
        if 0 <= y <= 1 and 0 <= x <= 1:
            self.pressed.emit(y * height, x * width)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if self._value is None:
            return
        painter, value = QPainter(self), self._value
        frame = self._frame(value.shape)
        palette = self.palette()
        empty, done = palette.color(QPalette.ColorRole.Window), palette.color(QPalette.ColorRole.Highlight)
        painter.fillRect(frame, empty)
        painter.drawImage(frame, _tinted(value.cells, done), QRectF(0, 0, *_covered(value)))
        painter.setBrush(Qt.BrushStyle.NoBrush)
        for region in value.failed:
            self._outline(painter, region, value.shape, QColor("#ff5555"))
        for region in value.in_work:
            self._outline(painter, region, value.shape, QColor("#ffc233"))
        if value.view is not None:
            self._outline(painter, value.view, value.shape, palette.color(QPalette.ColorRole.WindowText))
        painter.end()

    def _outline(self, painter: QPainter, region: Region, shape: tuple[int, int], colour: QColor) -> None:
        frame = self._frame(shape)
        rows, columns = region.intervals[-2:]
        down, right = frame.height() / shape[0], frame.width() / shape[1]
        painter.setPen(QPen(colour, 1.0))
        box = QRectF(
            frame.x() + columns.lo * right,
            frame.y() + rows.lo * down,
            max((columns.hi - columns.lo) * right - 1, 1),
            max((rows.hi - rows.lo) * down - 1, 1),
        )
        painter.drawRect(box)

    def _frame(self, shape: tuple[int, int]) -> QRectF:
        """Where the result lies in this widget, in the middle and with its own proportions."""
        height, width = shape
        scale = min(self.height() / height, self.width() / width)
        return QRectF(
            (self.width() - width * scale) / 2, (self.height() - height * scale) / 2, width * scale, height * scale
        )


def _covered(value: Coverage) -> tuple[float, float]:
    """(width, height) of the picture of the cells: all of it, since the last ones are drawn as wide as the others."""
    rows, columns = value.cells.shape
    return columns, rows


def _tinted(cells: NDArray[np.uint8], colour: QColor) -> QImage:
    rows, columns = cells.shape
    pixels = np.empty((rows, columns, 4), np.uint8)
    pixels[...] = (colour.blue(), colour.green(), colour.red(), 0)
    pixels[..., 3] = cells
    return QImage(pixels.tobytes(), columns, rows, 4 * columns, QImage.Format.Format_ARGB32).copy()


def _same(one: Coverage, other: Coverage) -> bool:
    first, second = ((c.shape, c.in_work, c.view, c.failed) for c in (one, other))
    return first == second and np.array_equal(one.cells, other.cells)
