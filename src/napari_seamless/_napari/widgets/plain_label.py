"""Labels for texts that come from files: names of classes, channels, models and images."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget


class PlainLabel(QLabel):
    """Shows a text as it is. Qt would take one with tags for HTML, and read the pictures that it names."""

    def __init__(self, text: str = "", parent: QWidget | None = None) -> None:
        super().__init__(text, parent)
        self.setTextFormat(Qt.TextFormat.PlainText)
