"""The classes of labels in a table: shown or not, colour, name, and whether their objects are counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QColorDialog, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_seamless._napari.measure.state import ClassRow
from napari_seamless._napari.widgets.table_height import fit_rows

SHOWN, COLOUR, NAME, COUNTED = range(4)
MOST_ROWS = 6


class ClassTable(QTableWidget):
    """Rows of classes. A double click on a colour asks for another one; names are typed over."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(0, 4, parent)
        self._value: tuple[ClassRow, ...] = ()
        self.setHorizontalHeaderLabels(["Show", "Colour", "Class", "Count"])
        self.setAccessibleName("Classes")
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setEditTriggers(QAbstractItemView.EditTrigger.DoubleClicked | QAbstractItemView.EditTrigger.EditKeyPressed)
        for side in (self.verticalHeader(), self.horizontalHeader()):
            if side is not None:
                side.setHighlightSections(False)
        self._lay_out()
        self.itemChanged.connect(self._edited)
        self.cellDoubleClicked.connect(self._ask_colour)

    def value(self) -> tuple[ClassRow, ...]:
        return self._value

    def setValue(self, value: Sequence[ClassRow]) -> None:
        if tuple(value) != self._value:
            self._value = tuple(value)
            self._show()
            self.valueChanged.emit(self._value)

    def _lay_out(self) -> None:
        header, side = self.horizontalHeader(), self.verticalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(NAME, QHeaderView.ResizeMode.Stretch)
        if side is not None:
            side.hide()

    def _show(self) -> None:
        self.blockSignals(True)
        self.setRowCount(len(self._value))
        for number, row in enumerate(self._value):
            self.setItem(number, SHOWN, _check(row.is_shown, bool(row.value), "Show this class"))
            swatch = QTableWidgetItem()
            swatch.setBackground(QColor(row.colour))
            swatch.setFlags(Qt.ItemFlag.ItemIsEnabled)
            swatch.setToolTip(f"{row.colour}: double click for another colour")
            self.setItem(number, COLOUR, swatch)
            name = QTableWidgetItem(row.name)
            name.setToolTip(f"Label {row.value}: double click to rename")
            self.setItem(number, NAME, name)
            self.setItem(number, COUNTED, _check(row.is_counted, bool(row.value), "Count the objects of this class"))
        self.blockSignals(False)
        fit_rows(self, MOST_ROWS)

    def _edited(self, item: QTableWidgetItem) -> None:
        before = self._value[item.row()]
        match item.column():
            case 0:
                row = replace(before, is_shown=item.checkState() == Qt.CheckState.Checked)
            case 2:
                row = replace(before, name=item.text().strip() or before.name)
            case 3:
                row = replace(before, is_counted=item.checkState() == Qt.CheckState.Checked)
            case _:
                return
        self._put(item.row(), row)

    def _ask_colour(self, number: int, column: int) -> None:
        row = self._value[number]
        if column == COLOUR and row.value:
            colour = QColorDialog.getColor(QColor(row.colour), self, f"Colour of {row.name}")
            if colour.isValid():
                self._put(number, replace(row, colour=colour.name()))

    def _put(self, number: int, row: ClassRow) -> None:
        self.setValue((*self._value[:number], row, *self._value[number + 1 :]))


def _check(on: bool, is_possible: bool, tip: str) -> QTableWidgetItem:
    item = QTableWidgetItem()
    item.setFlags(Qt.ItemFlag.NoItemFlags)
    if is_possible:
        item.setFlags(Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked if on else Qt.CheckState.Unchecked)
        item.setToolTip(tip)
    return item
