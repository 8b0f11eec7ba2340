"""A column that scrolls up and down, and is never cut off at the side."""

from __future__ import annotations

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

LEAST_HEIGHT = 160
LONGEST_TITLE, BUTTONS = "Measure a result (napari-seamless)", 110
"""What napari writes above a dock, cut off where there is no room, and pixels for its buttons and larger letters."""


class Column(QScrollArea):
    """As wide as its widget needs, however low the window is; where nobody has said how wide, as its dock's title."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidget(widget)

    def minimumSizeHint(self) -> QSize:
        return QSize(self._width(), LEAST_HEIGHT)

    def sizeHint(self) -> QSize:
        widget = self.widget()
        title = self.fontMetrics().horizontalAdvance(LONGEST_TITLE) + BUTTONS
        return QSize(max(self._width(), title), LEAST_HEIGHT if widget is None else widget.sizeHint().height())

    def _width(self) -> int:
        """Of the widget, with room for the scroll bar that a low window brings."""
        widget, bar = self.widget(), self.verticalScrollBar()
        needed = 0 if widget is None else max(widget.minimumSizeHint().width(), widget.minimumWidth())
        return needed + (0 if bar is None else bar.sizeHint().width())
