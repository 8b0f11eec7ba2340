"""The classes of a lesson: a row each, the chosen one being painted."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QShowEvent
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_seamless._napari.widgets.table_height import fit_rows
from napari_seamless.interfaces import LabelClass

COLOUR, NAME = 0, 1
MOST_ROWS = 8


class ClassList(QTableWidget):
    """`chosen` tells the label that is to be painted. Names are typed over, colours asked for by a double click."""

    valueChanged = Signal(object)
    chosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 2, parent)
        self._value: tuple[LabelClass, ...] = ()
        self.setHorizontalHeaderLabels(["Colour", "Class"])
        self.setAccessibleName("Classes to teach")
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        header, side = self.horizontalHeader(), self.verticalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        if side is not None:
            side.hide()
        self.itemChanged.connect(self._renamed)
        self.cellClicked.connect(self._clicked)
        self.cellDoubleClicked.connect(self._ask_colour)
        self.itemSelectionChanged.connect(self._choose)

    def value(self) -> tuple[LabelClass, ...]:
        return self._value

    def setValue(self, value: tuple[LabelClass, ...]) -> None:
        if tuple(value) != self._value:
            self._value = tuple(value)
            self._show()
            self.valueChanged.emit(self._value)

    def showEvent(self, event: QShowEvent | None) -> None:
        super().showEvent(event)
        fit_rows(self, MOST_ROWS)  # only now are its letters as large as napari's

    def choose(self, value: int) -> None:
        """Marks the class that is painted, without telling anybody."""
        self.blockSignals(True)
        self.setCurrentCell(next((k for k, one in enumerate(self._value) if one.value == value), -1), NAME)
        self.blockSignals(False)

    def _show(self) -> None:
        row = self.currentRow()
        self.blockSignals(True)
        self.setRowCount(len(self._value))
        for number, one in enumerate(self._value):
            swatch = QTableWidgetItem()
            swatch.setBackground(QColor(one.colour))
            swatch.setFlags(Qt.ItemFlag.ItemIsEnabled)  # not selected with its row, which would hide the colour
            swatch.setToolTip(f"{one.colour}: double click for another colour")
            name = QTableWidgetItem(one.name)
            name.setToolTip(f"Label {one.value}: click to paint it, double click to rename it")
            self.setItem(number, COLOUR, swatch)
            self.setItem(number, NAME, name)
        if 0 <= row < len(self._value):
            self.setCurrentCell(row, NAME)
        self.blockSignals(False)
        fit_rows(self, MOST_ROWS)

    def _clicked(self, number: int, _column: int) -> None:
        self.setCurrentCell(number, NAME)

    def _choose(self) -> None:
        if 0 <= self.currentRow() < len(self._value):
            self.chosen.emit(self._value[self.currentRow()].value)

    def _renamed(self, item: QTableWidgetItem) -> None:
        before = self._value[item.row()]
        if item.column() == NAME:
            self._put(item.row(), replace(before, name=item.text().strip() or before.name))

    def _ask_colour(self, number: int, column: int) -> None:
        one = self._value[number]
        if column == COLOUR:
            colour = QColorDialog.getColor(QColor(one.colour), self, f"Colour of {one.name}")
            if colour.isValid():
                self._put(number, replace(one, colour=colour.name()))

    def _put(self, number: int, one: LabelClass) -> None:
        self.setValue((*self._value[:number], one, *self._value[number + 1 :]))
