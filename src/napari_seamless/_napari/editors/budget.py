"""How much memory a run may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QHBoxLayout, QWidget

Unit = Literal["MB", "GB"]
UNITS: dict[Unit, int] = {"MB": 10**6, "GB": 10**9}


@dataclass(frozen=True)
class Budget:
    """An amount of memory in a decimal unit, as a user types it.

    >>> Budget(1.5, "GB").bytes
    1500000000
    """

    amount: float
    unit: Unit = "GB"

    @property
    def bytes(self) -> int:
        return round(self.amount * UNITS[self.unit])

    @classmethod
    def of_bytes(cls, count: int) -> Budget:
        """The same amount in the unit that reads best.

        >>> Budget.of_bytes(750_000_000)
        Budget(amount=750.0, unit='MB')
        """
        unit: Unit = "GB" if count >= UNITS["GB"] else "MB"
        return cls(round(count / UNITS[unit], 2), unit)


class BudgetEditor(QWidget):
    """A number and its unit. Changing the unit keeps the amount of memory and rewrites the number."""

    valueChanged = Signal(object)

    def __init__(self, value: Budget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._amount = QDoubleSpinBox()
        self._amount.setDecimals(2)
        self._amount.setRange(0.01, 99_999)
        self._amount.setKeyboardTracking(False)
        self._amount.setAccessibleName("Memory budget")
        self._unit = QComboBox()
        self._unit.addItems(list(UNITS))
        self._unit.setAccessibleName("Unit of the memory budget")
        self._current = value or Budget(2.0, "GB")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._amount, 1)
        row.addWidget(self._unit)
        self._show()
        self._amount.valueChanged.connect(self._amount_edited)
        self._unit.currentTextChanged.connect(self._unit_edited)
        self.setToolTip("Memory of the device that a run may use. The tile size follows from it.")

    def value(self) -> Budget:
        return self._current

    def setValue(self, value: Budget) -> None:
        if value == self._current:
            return
        self._current = value
        self._show()
        self.valueChanged.emit(value)

    def _show(self) -> None:
        for widget in (self._amount, self._unit):
            widget.blockSignals(True)
        self._amount.setSingleStep(0.5 if self._current.unit == "GB" else 100)
        self._amount.setValue(self._current.amount)
        self._unit.setCurrentText(self._current.unit)
        for widget in (self._amount, self._unit):
            widget.blockSignals(False)

    def _amount_edited(self, amount: float) -> None:
        self.setValue(Budget(amount, self._current.unit))

    def _unit_edited(self, unit: str) -> None:
        known: Unit = "GB" if unit == "GB" else "MB"
        self.setValue(Budget(round(self._current.bytes / UNITS[known], 2), known))
