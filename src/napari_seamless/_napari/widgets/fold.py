"""A line of text that folds away what is under it."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QToolButton, QWidget


class Fold(QToolButton):
    """Shows `body` while it is checked; folded at first. Whoever makes it puts both in a layout."""

    def __init__(self, text: str, body: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._body = body
        self.setObjectName("fold")
        self._name = text
        self.setText(text)
        self.setAccessibleName(text)
        self.setCheckable(True)
        self.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.toggled.connect(self._unfold)
        self._unfold(False)

    def tell(self, changed: int) -> None:
        """How many settings of the body are not the usual ones."""
        self.setText(f"{self._name} ({changed} set)" if changed else self._name)

    def _unfold(self, is_open: bool) -> None:
        self.setArrowType(Qt.ArrowType.DownArrow if is_open else Qt.ArrowType.RightArrow)
        self._body.setVisible(is_open)
