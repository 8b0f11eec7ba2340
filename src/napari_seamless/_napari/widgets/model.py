"""Which network to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QMenu,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from napari_seamless._napari.widgets.combo import NameList
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless.models.loaders.formats import DESCRIPTIONS, FORMATS, WEIGHTS

PATTERNS = [*(f"*{suffix}" for one in FORMATS if one.loader for suffix in one.suffixes), *DESCRIPTIONS]
KINDS = f"Networks and weights ({' '.join(PATTERNS)});;All files (*)"


@dataclass(frozen=True)
class ModelOption:
    """A network that can be chosen: its name (or the path of its weights), a line on what it does, and how its name is
    shown ("": as it is, or the file's name)."""

    name: str
    description: str
    shown: str = ""


@dataclass(frozen=True)
class ModelChoice:
    """The name of a bundled network or the path of a file; None where nothing is chosen."""

    name: str | None = None


class ModelPicker(QWidget):
    """A list of networks, and a button that asks for a file or folder with another one (`loadRequested`).

    While one is being loaded, `showBusy` says so, with a button to give up (`cancelPressed`).
    """

    valueChanged = Signal(object)
    loadRequested = Signal(str)
    cancelPressed = Signal()

    def __init__(self, options: Sequence[ModelOption] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._combo = NameList("Model")
        self._combo.setPlaceholderText("loading…")
        self._load = QPushButton("Load…")
        self._load.setToolTip(
            f"Bring a network of your own: .pt2, TorchScript, weights ({', '.join(WEIGHTS.suffixes)}),\n"
            "a bioimage.io package, a recipe folder. It can be dropped here, too."
        )
        menu = QMenu(self._load)
        for text, ask in (
            ("A file…", self._ask),
            ("A folder (recipe, unpacked bioimage.io package)…", self._ask_folder),
        ):
            action = QAction(text, menu)
            action.triggered.connect(ask)  # handed to addAction it would keep this widget alive under PySide6
            menu.addAction(action)
        self._load.setMenu(menu)
        self._busy, self._stop = PlainLabel(), QPushButton("Give up")
        self._busy.setObjectName("hint")
        self._lay_out()
        for option in options:
            self._add(option)
        self._combo.currentIndexChanged.connect(self._tell)  # and so would a lambda here
        self._stop.clicked.connect(self.cancelPressed)
        self.showBusy("")

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
        others = [option for option in self.options() if option.name not in known]
        self._combo.blockSignals(True)
        self._combo.clear()
        for option in (*options, *others):
            self._add(option)
        self._combo.setCurrentIndex(max(self._combo.findData(before.name), 0))
        self._combo.blockSignals(False)
        self.valueChanged.emit(self.value())

    def add(self, option: ModelOption) -> None:
        """Puts a network at the end of the list; one of that name is described anew. The choice stays."""
        index = self._combo.findData(option.name)
        if index < 0:
            self._combo.blockSignals(True)
            self._add(option)
            self._combo.blockSignals(False)
            return
        self._combo.setItemText(index, _shown(option))
        self._combo.setItemData(index, option.description, Qt.ItemDataRole.ToolTipRole)

    def remove(self, name: str) -> None:
        """Takes a network out of the list, without a word; it must not be the chosen one."""
        index = self._combo.findData(name)
        if index >= 0:
            self._combo.blockSignals(True)
            self._combo.removeItem(index)
            self._combo.blockSignals(False)

    def options(self) -> list[ModelOption]:
        rows, tip = range(self._combo.count()), Qt.ItemDataRole.ToolTipRole
        return [
            ModelOption(str(self._combo.itemData(i)), str(self._combo.itemData(i, tip)), self._combo.itemText(i))
            for i in rows
        ]

    def shown(self) -> str:
        """The chosen network's name as it stands in the list."""
        return self._combo.currentText()

    def description(self) -> str:
        """The line on what the chosen network does."""
        text = self._combo.currentData(Qt.ItemDataRole.ToolTipRole)
        return text if isinstance(text, str) else ""

    def showBusy(self, text: str) -> None:
        """What is being loaded; "" when nothing is."""
        self._busy.setText(text)
        for widget in (self._busy, self._stop):
            widget.setVisible(bool(text))
        self._load.setEnabled(not text)

    def _add(self, option: ModelOption) -> None:
        self._combo.addItem(_shown(option), option.name)
        self._combo.setItemData(self._combo.count() - 1, option.description, Qt.ItemDataRole.ToolTipRole)

    def _tell(self, _index: int) -> None:
        self.valueChanged.emit(self.value())

    def _ask(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Load a model", "", KINDS)
        if name:
            path = Path(name)
            self.loadRequested.emit(str(path.parent if path.name in DESCRIPTIONS else path))

    def _ask_folder(self) -> None:
        name = QFileDialog.getExistingDirectory(self, "Load a model from its folder")
        if name:
            self.loadRequested.emit(name)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        for first, last in ((self._combo, self._load), (self._busy, self._stop)):
            row = QHBoxLayout()
            row.addWidget(first, 1)
            row.addWidget(last)
            column.addLayout(row)


def _shown(option: ModelOption) -> str:
    return option.shown or Path(option.name).name
