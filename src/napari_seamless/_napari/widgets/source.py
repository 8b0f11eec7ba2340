"""Which image to work on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QPushButton, QWidget

from napari_seamless._napari.widgets.combo import NameList
from napari_seamless.io.readers.formats import FORMATS

KINDS = f"All files (*);;Images ({' '.join(f'*{suffix}' for one in FORMATS for suffix in one.suffixes)})"


@dataclass(frozen=True)
class SourceOption:
    """An image that can be chosen: a key that stays the same, and the name that is shown."""

    key: str
    name: str


@dataclass(frozen=True)
class SourceChoice:
    """The key of the chosen image, or None where there is none."""

    key: str | None = None


class SourcePicker(QWidget):
    """A list of images and a button that asks for a file (`openRequested` with its path)."""

    valueChanged = Signal(object)
    openRequested = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = NameList("Image")
        self._combo.setPlaceholderText("no image yet")
        self._open = QPushButton("Open…")
        self._open.setToolTip("Open a slide, TIFF, OME-Zarr or any other image file")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo, 1)
        row.addWidget(self._open)
        self._combo.currentIndexChanged.connect(self._tell)  # a lambda would keep this widget alive under PySide6
        self._open.clicked.connect(self._ask)

    def value(self) -> SourceChoice:
        key = self._combo.currentData()
        return SourceChoice(key if isinstance(key, str) else None)

    def setValue(self, value: SourceChoice) -> None:
        self._combo.setCurrentIndex(-1 if value.key is None else self._combo.findData(value.key))

    def setOptions(self, options: Sequence[SourceOption]) -> None:
        """Other images to choose from. The choice stays where it still exists, else the first is taken."""
        before = self.value()
        self._combo.blockSignals(True)
        self._combo.clear()
        for option in options:
            self._combo.addItem(option.name, option.key)
        kept = self._combo.findData(before.key) if before.key is not None else -1
        self._combo.setCurrentIndex(kept if kept >= 0 else (0 if options else -1))
        self._combo.blockSignals(False)
        if self.value() != before:
            self.valueChanged.emit(self.value())

    def _tell(self, _index: int) -> None:
        self.valueChanged.emit(self.value())

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Open an image", "", KINDS)
        if name:
            self.openRequested.emit(name)
