"""One line that is not an error: all is well, or something to bear in mind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from napari_seamless._napari.widgets.plain_label import PlainLabel

Tone = Literal["good", "caution"]


@dataclass(frozen=True)
class StatusMessage:
    """A sentence and how it is meant."""

    sentence: str
    tone: Tone


class StatusLabel(PlainLabel):
    """Shows a remark, or nothing at all (and takes no room then)."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("", parent)
        self._value: StatusMessage | None = None
        self.setWordWrap(True)
        self.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.setVisible(False)

    def value(self) -> StatusMessage | None:
        return self._value

    def setValue(self, value: StatusMessage | None) -> None:
        if value == self._value:
            return
        self._value = value
        self.setText(value.sentence if value else "")
        self.setObjectName(value.tone if value else "")
        self._look_again()
        self.setVisible(value is not None)

    def _look_again(self) -> None:
        """Colours follow the name only when they are asked to."""
        style = self.style()
        if style is not None:
            style.unpolish(self)
            style.polish(self)
