"""How networks that look at the whole plane are measured."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QWidget

from napari_seamless._napari.widgets.combo import NameList

STATISTICS = {
    "whole": "whole image (exact)",
    "tissue": "tissue only",
    "local": "each tile (approximate)",
}
KEEP = {
    "auto": "what is quickest",
    "recompute": "nothing",
    "device": "on the device",
    "host": "in memory",
    "disk": "on disk",
}


@dataclass(frozen=True)
class Passes:
    """Over what norms and pools over the plane take their statistics, and what is kept between two passes."""

    statistics: str = "whole"
    keep: str = "auto"

    @property
    def settings(self) -> dict[str, Hashable]:
        """What differs from the default, as arguments of `start`."""
        chosen = {"statistics": self.statistics, "keep": self.keep}
        default = {"statistics": "whole", "keep": "auto"}
        return {name: value for name, value in chosen.items() if value != default[name]}


class PassesEditor(QWidget):
    """Two lists."""

    valueChanged = Signal(object)

    def __init__(self, value: Passes | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = value or Passes()
        self._statistics = _choice(STATISTICS, "Statistics of norms over the plane")
        self._statistics.setToolTip("For networks with instance norms, pools and the like over the plane.")
        self._keep = _choice(KEEP, "What is kept between two passes")
        self._keep.setToolTip("What lies between two passes over the image; nothing: each pass begins at the image.")
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        form.addRow("Statistics", self._statistics)
        form.addRow("Keep", self._keep)
        self._show()
        self._statistics.activated.connect(self._edited)
        self._keep.activated.connect(self._edited)

    def value(self) -> Passes:
        return self._value

    def setValue(self, value: Passes) -> None:
        if value != self._value:
            self._value = value
            self._show()
            self.valueChanged.emit(value)

    def _show(self) -> None:
        self._statistics.setCurrentIndex(self._statistics.findData(self._value.statistics))
        self._keep.setCurrentIndex(self._keep.findData(self._value.keep))

    def _edited(self, _index: int) -> None:
        self.setValue(Passes(self._statistics.currentData(), self._keep.currentData()))


def _choice(options: dict[str, str], name: str) -> QComboBox:
    combo = NameList(name)
    for key, text in options.items():
        combo.addItem(text, key)
    return combo
