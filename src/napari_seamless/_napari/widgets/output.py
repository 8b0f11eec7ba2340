"""Where a result is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


@dataclass(frozen=True)
class OutputChoice:
    """A path for the OME-Zarr, or None for a temporary folder."""

    path: Path | None = None


class OutputEditor(QWidget):
    """A path field; empty means a temporary folder."""

    valueChanged = Signal(object)

    def __init__(self, value: OutputChoice | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = value or OutputChoice()
        self._path = QLineEdit()
        self._path.setPlaceholderText("temporary folder")
        self._path.setClearButtonEnabled(True)
        self._path.setAccessibleName("Where the result is stored")
        self._path.setToolTip(
            "Leave empty for a temporary folder; Export keeps the result afterwards.\n"
            "With a path, a run that was interrupted continues where it stopped."
        )
        self._choose = QPushButton("Choose…")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._path, 1)
        row.addWidget(self._choose)
        self._show()
        self._path.textChanged.connect(self._edited)
        self._choose.clicked.connect(self._ask)

    def value(self) -> OutputChoice:
        return self._value

    def setValue(self, value: OutputChoice) -> None:
        if value != self._value:
            self._value = value
            self._show()
            self.valueChanged.emit(value)

    def _show(self) -> None:
        self._path.blockSignals(True)
        self._path.setText("" if self._value.path is None else str(self._value.path))
        self._path.blockSignals(False)

    def _edited(self, text: str) -> None:
        value = OutputChoice(Path(text.strip()).expanduser() if text.strip() else None)
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)

    def _ask(self) -> None:
        path = ask_for_store(self, "Where to store the result")
        if path is not None:
            self.setValue(OutputChoice(path))


def ask_for_store(parent: QWidget, title: str) -> Path | None:
    """Asks for the path of a new OME-Zarr; the extension is added where it is missing. None = cancelled."""
    name, _ = QFileDialog.getSaveFileName(parent, title, "result.ome.zarr", "OME-Zarr (*.ome.zarr *.zarr)")
    if not name:
        return None
    return Path(name if name.endswith(".zarr") else f"{name}.ome.zarr")
