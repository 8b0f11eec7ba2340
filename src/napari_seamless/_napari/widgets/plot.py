"""Speed and memory of a run over time, as two lines."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from qtpy.QtCore import QPointF, QRectF, QSize, Qt
from qtpy.QtGui import QColor, QPainter, QPaintEvent, QPalette, QPen, QPolygonF
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_seamless._napari.widgets.wording import memory

HEIGHT = 84
TEXT = 22
KEPT = 240
SECONDS = 0.5
MEMORY = QColor("#ffc233")


@dataclass(frozen=True)
class Sample:
    """At a time (seconds of the run), output pixels a second and bytes."""

    seconds: float
    rate: float
    bytes: int


class RunPlot(QWidget):
    """Draws the last samples. `add` is called as often as one likes; a sample every half second is kept."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.samples: deque[Sample] = deque(maxlen=KEPT)
        self.setObjectName("chart")
        self.setFixedHeight(HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setAccessibleName("Speed and memory over time")
        self.setToolTip("Speed (blue) and memory (yellow) over the last minutes, each from zero to its highest value.")
        self.setVisible(False)

    def sizeHint(self) -> QSize:
        return QSize(160, HEIGHT)

    def add(self, sample: Sample) -> None:
        """Takes a sample; one that goes back in time begins another run."""
        if self.samples and sample.seconds < self.samples[-1].seconds:
            self.samples.clear()
        if self.samples and sample.seconds - self.samples[-1].seconds < SECONDS:
            return
        self.samples.append(sample)
        self.setVisible(len(self.samples) > 2)
        self.update()

    def clear(self) -> None:
        self.samples.clear()
        self.setVisible(False)

    def paintEvent(self, _event: QPaintEvent | None) -> None:
        if len(self.samples) < 2:
            return
        painter, palette = QPainter(self), self.palette()
        painter.setRenderHint(QPainter.RenderHint.Antialiasing)
        area = QRectF(self.rect())
        painter.fillRect(area, palette.color(QPalette.ColorRole.Window))
        self._line(painter, area, [s.bytes for s in self.samples], MEMORY)
        self._line(painter, area, [s.rate for s in self.samples], palette.color(QPalette.ColorRole.Highlight))
        painter.setPen(palette.color(QPalette.ColorRole.Text))
        last = self.samples[-1]
        text = area.adjusted(6, 2, -6, -2)
        painter.drawText(text, Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop, f"{last.rate / 1e6:.2f} MP/s")
        painter.drawText(text, Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignTop, memory(last.bytes))
        painter.end()

    def _line(self, painter: QPainter, area: QRectF, numbers: list[float] | list[int], colour: QColor) -> None:
        first, last = self.samples[0].seconds, self.samples[-1].seconds
        across, up = area.width() / max(last - first, 1e-9), (area.height() - TEXT) / max(*numbers, 1e-9)
        points = [
            QPointF(area.x() + (sample.seconds - first) * across, area.bottom() - number * up)
            for sample, number in zip(self.samples, numbers, strict=True)
        ]
        painter.setPen(QPen(colour, 1.5))
        painter.drawPolyline(QPolygonF(points))
