"""How much of the image a run covers."""

from __future__ import annotations

from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QVBoxLayout, QWidget


@dataclass(frozen=True)
class Extent:
    """The whole image, or only what is on screen and its surroundings, wherever the view goes."""

    whole: bool = True


class ExtentEditor(QWidget):
    """A tick box."""

    valueChanged = Signal(object)

    def __init__(self, value: Extent | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._whole = QCheckBox("Whole image")
        self._whole.setChecked((value or Extent()).whole)
        self._whole.setToolTip(
            "Ticked: everything, what is on screen first.\n"
            "Not ticked: only what is on screen and its surroundings, wherever you go."
        )
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._whole)
        self._whole.toggled.connect(lambda on: self.valueChanged.emit(Extent(on)))

    def value(self) -> Extent:
        return Extent(self._whole.isChecked())

    def setValue(self, value: Extent) -> None:
        self._whole.setChecked(value.whole)
