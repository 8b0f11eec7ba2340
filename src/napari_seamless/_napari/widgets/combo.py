"""A list of names, of which one is chosen and shown."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QSizePolicy, QStyle, QStyleOptionComboBox, QWidget

LEAST_LETTERS = 8
MARGIN = 2
"""Pixels that Qt leaves free around a text."""


class NameList(QComboBox):
    """As narrow as it must be. A name too long for it is shortened in its middle, as both ends tell names apart."""

    def __init__(self, name: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName(name)
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.setMinimumContentsLength(LEAST_LETTERS)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def initStyleOption(self, option: QStyleOptionComboBox | None) -> None:
        super().initStyleOption(option)
        style = self.style()
        if option is None or style is None:
            return
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = style.subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self)
        option.currentText = self.fontMetrics().elidedText(
            option.currentText, Qt.TextElideMode.ElideMiddle, room.width() - MARGIN
        )


def set_options(combo: QComboBox, options: Sequence[tuple[str, str]]) -> None:
    """Other (key, text) to choose from; the choice stays where it still exists, else the first one is taken."""
    before = combo.currentData()
    combo.blockSignals(True)
    combo.clear()
    for key, text in options:
        combo.addItem(text, key)
    combo.setCurrentIndex(max(combo.findData(before), 0 if options else -1))
    combo.blockSignals(False)
    if combo.currentData() != before:
        combo.currentIndexChanged.emit(combo.currentIndex())
