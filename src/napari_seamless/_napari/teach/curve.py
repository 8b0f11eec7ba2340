"""How a lesson goes: the loss of every step as a line, and what is right on held-out strokes as dots."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

HEIGHT, TEXT, DOT = 110, 20, 2.5
SHOWN = 400
RIGHT = QColor("#1fd160")
SMOOTH = 0.15
"""Weight of a new loss in the line's running mean: a single place says little."""


class LossCurve(QWidget):
    """Both from the first step on; nothing before there are two."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._losses: list[tuple[int, float]] = []
        self._right: list[tuple[int, float]] = []
        self.setObjectName("chart")
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Loss and what is right on held-out strokes, over the steps")
        self.setToolTip("Blue: the loss, from 0 to its highest. Green: what is right on held-out strokes, 0 to 100 %")
        self.setVisible(False)

    def sizeHint(self) -> QSize:
        return QSize(200, HEIGHT)

    def value(self) -> tuple[list[tuple[int, float]], list[tuple[int, float]]]:
        return self._losses, self._right

    def setValue(self, losses: Sequence[tuple[int, float]], right: Sequence[tuple[int, float]]) -> None:
        self._losses, self._right = _smoothed(losses), list(right)
        self.setVisible(len(self._losses) > 1)
        self.update()

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if len(self._losses) < 2:
            return
        painter, palette = QPainter(self), self.palette()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect()).adjusted(4, TEXT, -4, -4)
        painter.fillRect(QRectF(self.rect()), palette.color(QPalette.ColorRole.Window))
        highest = max(loss for _, loss in self._losses)
        line = [self._at(area, step, loss / max(highest, 1e-9)) for step, loss in self._losses]
        painter.setPen(QPen(palette.color(QPalette.ColorRole.Highlight), 1.5))
        painter.drawPolyline(QPolygonF(line))
        painter.setPen(Qt.PenStyle.NoPen)
        painter.setBrush(RIGHT)
        for step, share in self._right:
            painter.drawEllipse(self._at(area, step, share), DOT, DOT)
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        head = QRectF(self.rect()).adjusted(6, 2, -6, 0)
        painter.drawText(head, Qt.AlignmentFlag.AlignLeft, f"loss {self._losses[-1][1]:.3f}")
        if self._right:
            painter.drawText(head, Qt.AlignmentFlag.AlignRight, f"{self._right[-1][1]:.1%} right, held out")
        painter.end()

    def _at(self, area: QRectF, step: int, share: float) -> QPointF:
        first, last = self._losses[0][0], self._losses[-1][0]
        along = (step - first) / max(last - first, 1)
        return QPointF(area.left() + along * area.width(), area.bottom() - min(share, 1.0) * area.height())


def _smoothed(losses: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """A running mean, and no more points than there are pixels."""
    found, mean = list[tuple[int, float]](), None
    for step, loss in losses:
        mean = loss if mean is None else mean + SMOOTH * (loss - mean)
        found.append((step, mean))
    return found[:: max(len(found) // SHOWN, 1)]
