"""How much memory a run may use."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Literal

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDoubleSpinBox, QHBoxLayout, QSlider, QWidget

Unit = Literal["MB", "GB"]
UNITS: dict[Unit, int] = {"MB": 10**6, "GB": 10**9}
LEAST = 50 * 10**6
STEPS = 200


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
        """The same amount, to the byte, in the unit that reads best.

        >>> Budget.of_bytes(750_000_000)
        Budget(amount=750.0, unit='MB')
        """
        unit: Unit = "GB" if count >= UNITS["GB"] else "MB"
        return cls(count / UNITS[unit], unit)


class BudgetEditor(QWidget):
    """A slider from a little to all that the device has, in equal ratios, and the same as a number."""

    valueChanged = Signal(object)

    def __init__(self, value: Budget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._most = 16 * 10**9
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, STEPS)
        self.slider.setPageStep(STEPS // 10)
        self.slider.setAccessibleName("Memory budget, as a slider")
        self._amount = QDoubleSpinBox()
        self._amount.setDecimals(2)
        self._amount.setRange(0.01, 9_999)
        self._amount.setSingleStep(0.25)
        self._amount.setSuffix(" GB")
        self._amount.setKeyboardTracking(False)
        self._amount.setAccessibleName("Memory budget")
        self._current = value or Budget(2.0, "GB")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(6)
        row.addWidget(self.slider, 1)
        row.addWidget(self._amount)
        self._show()
        self.slider.valueChanged.connect(self._slid)
        self._amount.valueChanged.connect(self._amount_edited)
        self.setToolTip(
            "Memory of the device that a run may use. The tile size follows from it.\n"
            "Changed while a run goes on, it takes effect on the next tile."
        )

    def value(self) -> Budget:
        return self._current

    def setValue(self, value: Budget) -> None:
        if value == self._current:
            return
        self._current = value
        self._show()
        self.valueChanged.emit(value)

    def setMost(self, count: int) -> None:
        """What the device has in all: the far end of the slider."""
        if count != self._most and count > LEAST:
            self._most = count
            self._show()

    def _show(self) -> None:
        for widget in (self.slider, self._amount):
            widget.blockSignals(True)
        self.slider.setValue(round(STEPS * log(max(self._current.bytes, LEAST) / LEAST) / log(self._most / LEAST)))
        self._amount.setValue(self._current.bytes / UNITS["GB"])
        for widget in (self.slider, self._amount):
            widget.blockSignals(False)

    def _slid(self, step: int) -> None:
        count = LEAST * (self._most / LEAST) ** (step / STEPS)
        digits = 10 ** max(len(str(int(count))) - 2, 0)
        self.setValue(Budget.of_bytes(round(count / digits) * digits))

    def _amount_edited(self, amount: float) -> None:
        self.setValue(Budget.of_bytes(round(amount * UNITS["GB"])))
