"""The table of objects: any number of rows, sorted by any column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QItemSelection, QModelIndex, Qt, Signal
from qtpy.QtWidgets import QAbstractItemView, QTableView, QWidget

HEIGHT, SPARE = 170, 14
SAMPLE = 100
"""Rows that are looked at to find out how wide a column is, and which are needed."""
TITLES = {"object": "No.", "class": "Class", "pixels": "px", "area_um2": "µm²", "volume_um3": "µm³", "at_edge": "Edge"}
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
Columns = Mapping[str, NDArray[Any]]


class ObjectModel(QAbstractTableModel):
    """Columns of numpy arrays; sorting is a permutation of rows."""

    def __init__(self, columns: Columns) -> None:
        super().__init__()
        area = next((name for name in ("area_um2", "volume_um3") if name in columns), "pixels")
        means = [name for name in columns if name.startswith("mean_")]
        places = [name for name in ("z", "y", "x") if name in columns]
        several = ["class"] if len(set(columns["label"][:SAMPLE].tolist())) > 1 else []
        self.names = ["object", *several, area, *places, *means, "at_edge"]
        self._columns = columns
        self._order = np.arange(len(columns["object"]))

    def row(self, number: int) -> int:
        """The row of the columns that is shown at a number."""
        return int(self._order[number])

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        return len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: ARG002
        return len(self.names)

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        name = self.names[index.column()]
        if role == Qt.ItemDataRole.TextAlignmentRole and name != "class":
            return RIGHT
        if role != Qt.ItemDataRole.DisplayRole:
            return None
        value = self._columns[name][self._order[index.row()]]
        if name == "at_edge":
            return "cut" if value else ""
        if name in ("z", "y", "x"):
            return f"{value:.0f}"
        return f"{value:,.1f}" if isinstance(value, float | np.floating) else str(value)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        if role != Qt.ItemDataRole.DisplayRole or orientation != Qt.Orientation.Horizontal:
            return None
        name = self.names[section]
        return TITLES.get(name, name.removeprefix("mean_"))

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.AscendingOrder) -> None:
        if column < 0:
            return
        self.layoutAboutToBeChanged.emit()
        ranked = np.argsort(self._columns[self.names[column]], kind="stable")
        self._order = ranked if order == Qt.SortOrder.AscendingOrder else ranked[::-1]
        self.layoutChanged.emit()


class ObjectTableView(QTableView):
    """`rowChosen` tells the row, of the columns that were given, that the user went to."""

    rowChosen = Signal(int)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model: ObjectModel | None = None
        self.setAccessibleName("Objects")
        self.setToolTip("Select a row to look at the object; click on a title to sort")
        self.setFixedHeight(HEIGHT)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setSortingEnabled(True)
        header = self.horizontalHeader()
        if header is not None:
            header.setResizeContentsPrecision(SAMPLE)
        side = self.verticalHeader()
        if side is not None:
            side.hide()

    def setValue(self, columns: Columns | None) -> None:
        """The columns of `Measurements.objects`; None or none hides the table."""
        old, self._model = self._model, None
        header = self.horizontalHeader()
        if header is not None:
            header.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setVisible(bool(columns))
        if columns:
            self._model = ObjectModel(columns)
        self.setModel(self._model)
        if old is not None:
            old.deleteLater()
        if header is not None and self._model is not None:
            header.setStretchLastSection(True)
            self.resizeColumnsToContents()
            for column in range(len(self._model.names)):
                self.setColumnWidth(column, self.columnWidth(column) + SPARE)

    def selectionChanged(self, selected: QItemSelection, deselected: QItemSelection) -> None:
        super().selectionChanged(selected, deselected)
        rows = [index.row() for index in selected.indexes()]
        if rows and self._model is not None:
            self.rowChosen.emit(self._model.row(rows[0]))
