"""One sentence about what went wrong, next to the field that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPlainTextEdit, QPushButton, QToolButton, QVBoxLayout, QWidget


@dataclass(frozen=True)
class Notice:
    """A sentence for the user, for whoever wants them the details, and what a button can do about it ("": nothing)."""

    sentence: str
    details: str = ""
    action: str = ""


class NoticeLabel(QWidget):
    """Shows a notice, or nothing at all (and takes no room then). The details unfold on demand.

    `actionPressed` means that the user wants the notice's action.
    """

    valueChanged = Signal(object)
    actionPressed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: Notice | None = None
        self._sentence = QLabel()
        self._sentence.setObjectName("problem")
        self._sentence.setWordWrap(True)
        self._sentence.setTextFormat(Qt.TextFormat.PlainText)
        self._sentence.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._more = QToolButton()
        self._more.setObjectName("details")
        self._more.setText("Details")
        self._more.setCheckable(True)
        self._action = QPushButton()
        self._action.setObjectName("second")
        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setFixedHeight(140)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 2)
        column.setSpacing(2)
        column.addWidget(self._sentence)
        column.addWidget(self._action)
        column.addWidget(self._more)
        column.addWidget(self._details)
        self._more.toggled.connect(self._details.setVisible)
        self._action.clicked.connect(self.actionPressed)
        self._show()

    def value(self) -> Notice | None:
        return self._value

    def setValue(self, value: Notice | None) -> None:
        if value == self._value:
            return
        self._value = value
        self._show()
        self.valueChanged.emit(value)

    def _show(self) -> None:
        value = self._value
        self._sentence.setText(value.sentence if value else "")
        self._details.setPlainText(value.details if value else "")
        self._action.setText(value.action if value else "")
        self._action.setVisible(bool(value and value.action))
        self._more.setChecked(False)
        self._details.setVisible(False)
        self._more.setVisible(bool(value and value.details))
        self.setVisible(value is not None)
