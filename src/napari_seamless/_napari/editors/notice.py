"""One sentence about what went wrong, next to the field that it is about."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QPlainTextEdit, QToolButton, QVBoxLayout, QWidget


@dataclass(frozen=True)
class Notice:
    """A sentence for the user and, for whoever wants them, the details."""

    sentence: str
    details: str = ""


class NoticeLabel(QWidget):
    """Shows a notice, or nothing at all (and takes no room then). The details unfold on demand."""

    valueChanged = Signal(object)

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
        self._details = QPlainTextEdit()
        self._details.setReadOnly(True)
        self._details.setFixedHeight(140)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 2)
        column.setSpacing(2)
        column.addWidget(self._sentence)
        column.addWidget(self._more)
        column.addWidget(self._details)
        self._more.toggled.connect(self._details.setVisible)
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
        self._more.setChecked(False)
        self._details.setVisible(False)
        self._more.setVisible(bool(value and value.details))
        self.setVisible(value is not None)
