"""One sentence about what went wrong, next to the field that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.dialogs.details import DetailsDialog
from napari_seamless._napari.widgets.plain_label import PlainLabel


@dataclass(frozen=True)
class Notice:
    """A sentence for the user, for whoever wants them the details, and what a button can do about it ("": nothing)."""

    sentence: str
    details: str = ""
    action: str = ""


class NoticeLabel(QWidget):
    """Shows a notice, or nothing at all (and takes no room then). The details come in a window of their own.

    `actionPressed` means that the user wants the notice's action, and names it.
    """

    valueChanged = Signal(object)
    actionPressed = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: Notice | None = None
        self._sentence = PlainLabel()
        self._sentence.setObjectName("problem")
        self._sentence.setWordWrap(True)
        self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._more = QToolButton()
        self._more.setObjectName("details")
        self._more.setText("Details…")
        self._more.setToolTip("What led to it, to read and to copy")
        self._action = QPushButton()
        self._action.setObjectName("second")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 2)
        column.setSpacing(2)
        column.addWidget(self._sentence)
        row = QHBoxLayout()
        row.addWidget(self._action, 1)
        row.addWidget(self._more)
        row.addStretch(0)
        column.addLayout(row)
        self._more.clicked.connect(self._open_details)
        self._action.clicked.connect(self._act)  # a lambda would keep this widget alive under PySide6
        self._show()

    def value(self) -> Notice | None:
        return self._value

    def setValue(self, value: Notice | None) -> None:
        if value == self._value:
            return
        self._value = value
        self._show()
        self.valueChanged.emit(value)

    def _act(self) -> None:
        self.actionPressed.emit(self._action.text())

    def _open_details(self) -> None:
        if self._value is not None:
            DetailsDialog(self._value.sentence, self._value.details, self).open()

    def _show(self) -> None:
        value = self._value
        self._sentence.setText(value.sentence if value else "")
        self._action.setText(value.action if value else "")
        self._action.setVisible(bool(value and value.action))
        self._more.setVisible(bool(value and value.details))
        self.setVisible(value is not None)
