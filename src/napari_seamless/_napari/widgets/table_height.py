"""How high a table is."""

from __future__ import annotations

from qtpy.QtWidgets import QTableView


def fit_rows(table: QTableView, most: int) -> None:
    """As high as its rows, up to `most` of them; the others are scrolled to."""
    header, side, model = table.horizontalHeader(), table.verticalHeader(), table.model()
    if header is None or side is None or model is None:
        return
    rows = min(max(model.rowCount(), 1), most)
    table.setFixedHeight(header.sizeHint().height() + rows * side.defaultSectionSize() + 2 * table.frameWidth() + 2)
