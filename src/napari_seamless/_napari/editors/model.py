"""Which network to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QSizePolicy, QWidget


@dataclass(frozen=True)
class ModelOption:
    """A network that can be chosen: its name (or the path of its weights) and a line on what it does."""

    name: str
    description: str


@dataclass(frozen=True)
class ModelChoice:
    """The name of a bundled network or the path of a file; None where nothing is chosen."""

    name: str | None = None


class ModelPicker(QWidget):
    """A list of networks and a button that adds a file of weights to it."""

    valueChanged = Signal(object)

    def __init__(self, options: Sequence[ModelOption] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = QComboBox()
        self._combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self._combo.setMinimumContentsLength(8)
        self._combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._combo.setPlaceholderText("loading…")
        self._combo.setAccessibleName("Model")
        self._load = QPushButton("Load weights…")
        self._load.setToolTip("Add a network or weights of your own from a file")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._combo, 1)
        row.addWidget(self._load)
        for option in options:
            self._add(option)
        self._combo.currentIndexChanged.connect(lambda _: self.valueChanged.emit(self.value()))
        self._load.clicked.connect(self._ask)

    def value(self) -> ModelChoice:
        name = self._combo.currentData()
        return ModelChoice(name if isinstance(name, str) else None)

    def setValue(self, value: ModelChoice) -> None:
        """Chooses a network; a name that is not in the list yet is taken for the path of a file and added."""
        if value.name is not None and self._combo.findData(value.name) < 0:
            self._add(ModelOption(value.name, f"Weights from {Path(value.name).name}"))
        self._combo.setCurrentIndex(-1 if value.name is None else self._combo.findData(value.name))

    def setOptions(self, options: Sequence[ModelOption]) -> None:
        """The networks that come with the package, before those that were added. The choice stays, or is the first."""
        before = self.value()
        known = {option.name for option in options}
        others = [ModelOption(n, d) for n, d in self._items() if n not in known]
        self._combo.blockSignals(True)
        self._combo.clear()
        for option in (*options, *others):
            self._add(option)
        self._combo.setCurrentIndex(max(self._combo.findData(before.name), 0))
        self._combo.blockSignals(False)
        self.valueChanged.emit(self.value())

    def description(self) -> str:
        """The line on what the chosen network does."""
        text = self._combo.currentData(Qt.ItemDataRole.ToolTipRole)
        return text if isinstance(text, str) else ""

    def _items(self) -> list[tuple[str, str]]:
        rows = range(self._combo.count())
        return [(str(self._combo.itemData(i)), str(self._combo.itemData(i, Qt.ItemDataRole.ToolTipRole))) for i in rows]

    def _add(self, option: ModelOption) -> None:
        self._combo.addItem(Path(option.name).name, option.name)
        self._combo.setItemData(self._combo.count() - 1, option.description, Qt.ItemDataRole.ToolTipRole)

    def _ask(self) -> None:
        kinds = "Networks and weights (*.safetensors *.pt *.pth *.ckpt *.pt2 *.zip *.yaml);;All files (*)"
        name, _ = QFileDialog.getOpenFileName(self, "Load weights", "", kinds)
        if name:
            self.setValue(ModelChoice(name))
