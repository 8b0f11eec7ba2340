"""Areas and counts of classes in a table."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableWidget, QTableWidgetItem, QWidget

from napari_seamless._napari.widgets.table_height import fit_rows

if TYPE_CHECKING:
    from napari_seamless.measurement.measurements import Measurements

MOST_ROWS = 8
RIGHT = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter


def lines(found: Measurements) -> list[tuple[str, ...]]:
    """A header, and a line for each class, then for each outline of a roi: its area, its share, and its objects."""
    power = "²" if found.ndim == 2 else "³"
    is_known = found.area_column != "pixels"
    header = ("Class", f"mm{power}" if is_known else "Pixels", "Share", "Objects", *((f"per mm{power}",) * is_known))
    table = [header]
    for area in found.areas:
        size = f"{area.pixels:,}" if area.mm is None else f"{area.mm:,.4g}"
        count, density = "", ""
        if area.name in found.counted:
            each = found.density(area.name)
            count, density = f"{found.count(area.name):,}", "" if each is None else f"{each:,.4g}"
        table.append((area.name, size, f"{area.fraction:.2%}", count, *((density,) * is_known)))
    for part in found.parts:
        share = f"{part.pixels / found.pixels:.2%}" if found.pixels else ""
        size = f"{part.pixels:,}" if found.pixel_size is None else f"{part_mm(found, part.pixels):,.4g}"
        count = f"{sum(part.objects.values()):,}" if found.objects else ""
        kind = f" ({part.classification})" if part.classification else ""
        table.append((f"{part.name}{kind}", size, share, count, *(("",) * is_known)))
    return table


def part_mm(found: Measurements, pixels: int) -> float:
    """Pixels in square (cubic) millimetres, where the size of a pixel is known."""
    return float(pixels * ((found.area or 0.0) / max(found.pixels, 1)) / 10 ** (3 * found.ndim))


class AreaTable(QTableWidget):
    """Shows measurements; nothing can be edited."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Areas of classes")
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        side = self.verticalHeader()
        if side is not None:
            side.hide()

    def setValue(self, found: Measurements | None, colours: Mapping[int, str] = MappingProxyType({})) -> None:
        """`colours` are those of labels to which the measurements give none."""
        table = [] if found is None else lines(found)
        self.setVisible(bool(table))
        if found is None:
            return
        self.setColumnCount(len(table[0]))
        self.setRowCount(len(table) - 1)
        self.setHorizontalHeaderLabels(list(table[0]))
        areas = (*found.areas, *(None for _ in found.parts))
        for number, (line, area) in enumerate(zip(table[1:], areas, strict=True)):
            for column, text in enumerate(line):
                item = QTableWidgetItem(text)
                if column:
                    item.setTextAlignment(RIGHT)
                elif area is not None and area.value and (colour := area.colour or colours.get(area.value)):
                    item.setData(Qt.ItemDataRole.DecorationRole, QColor(colour))
                self.setItem(number, column, item)
        header = self.horizontalHeader()
        if header is not None:
            header.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            header.setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        fit_rows(self, MOST_ROWS)
