"""A small histogram of the sizes of objects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette
from qtpy.QtWidgets import QSizePolicy, QWidget

HEIGHT, BOTTOM, TOP, SIDE = 120, 18, 16, 6
BINS = 40
SHARE = 0.98
"""Of the objects: the few that are much larger would press all others into the first bar."""


@dataclass(frozen=True)
class Bars:
    """Counts between edges, the unit of the edges, the colour, the median, and how many sizes lie further out."""

    counts: NDArray[np.int64]
    edges: NDArray[np.float64]
    unit: str
    colour: str
    median: float
    beyond: int = 0


class Histogram(QWidget):
    """Bars with a line at the median. Nothing is drawn without a value."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: Bars | None = None
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Histogram of sizes")
        self.setVisible(False)

    def value(self) -> Bars | None:
        return self._value

    def setValue(self, value: Bars | None) -> None:
        self._value = value if value is not None and len(value.counts) else None
        self.setVisible(self._value is not None)
        if self._value is not None:
            self.setToolTip(f"The tallest bar: {self._value.counts.max():,} objects")
        self.update()

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    def paintEvent(self, event: QPaintEvent | None) -> None:  # noqa: ARG002
        bars = self._value
        if bars is None:
            return
        painter = QPainter(self)
        try:
            self._draw(painter, bars)
        finally:
            painter.end()

    def _draw(self, painter: QPainter, bars: Bars) -> None:
        ink = self.palette().color(QPalette.ColorRole.WindowText)
        width, floor = self.width() - 2 * SIDE, self.height() - BOTTOM
        low, high = float(bars.edges[0]), float(bars.edges[-1])
        x = SIDE + (bars.edges - low) / (high - low) * width
        tall = bars.counts / bars.counts.max() * (floor - TOP)
        for left, right, height in zip(x[:-1], x[1:], tall, strict=True):
            gap = 1.0 if right - left > 3 else 0.0
            painter.fillRect(QRectF(left, floor - height, max(right - left - gap, 1.0), height), QColor(bars.colour))
        painter.setPen(ink)
        painter.drawLine(SIDE, floor, SIDE + width, floor)
        self._say(painter, bars, floor, width, ink)

    def _say(self, painter: QPainter, bars: Bars, floor: int, width: int, ink: QColor) -> None:
        low, high = float(bars.edges[0]), float(bars.edges[-1])
        foot = QRectF(SIDE, floor + 2, width, BOTTOM - 2)
        painter.drawText(foot, Qt.AlignmentFlag.AlignLeft, f"{max(low, 0):,.4g}")
        more = f"  ({bars.beyond:,} larger)" if bars.beyond else ""
        painter.drawText(foot, Qt.AlignmentFlag.AlignRight, f"{high:,.4g} {bars.unit}{more}")
        if low <= bars.median <= high:
            at = round(SIDE + (bars.median - low) / (high - low) * width)
            painter.setPen(ink)
            painter.drawLine(at, TOP, at, floor)
            text = f"median {bars.median:,.4g} {bars.unit}"
            room = painter.fontMetrics().horizontalAdvance(text) + 4
            side = at + 3 if at + 3 + room < self.width() else at - 3 - room
            painter.drawText(QRectF(side, 0, room, TOP), Qt.AlignmentFlag.AlignLeft, text)
