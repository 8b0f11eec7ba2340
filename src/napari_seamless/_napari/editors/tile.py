"""The tile size: it follows the memory budget until somebody moves the slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QLabel, QSlider, QVBoxLayout, QWidget

from napari_seamless._napari.wording import memory


@dataclass(frozen=True)
class TileSetting:
    """Edge of a tile in output pixels (0 while unknown), and whether the budget decides it."""

    tile: int = 0
    follows_budget: bool = True


class TileEditor(QWidget):
    """A slider over the tile sizes that a network allows, each with the memory that it needs.

    `setChoices` gives (tile, bytes) pairs, smallest first; until then there is nothing to slide.
    """

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[tuple[int, int], ...] = ()
        self._wanted = TileSetting()
        self._budget = 0
        self._slider = QSlider(Qt.Orientation.Horizontal)
        self._slider.setPageStep(1)
        self._slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self._slider.setAccessibleName("Tile size")
        self._slider.setToolTip("Smaller tiles appear sooner and need less memory; larger ones waste less work.")
        self._follow = QCheckBox("follow budget")
        self._follow.setToolTip("The largest tile that fits in the memory budget")
        self._text = QLabel()
        self._text.setObjectName("hint")
        row = QHBoxLayout()
        row.addWidget(self._text, 1)
        row.addWidget(self._follow)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self._slider)
        column.addLayout(row)
        self._show()
        self._slider.valueChanged.connect(self._slid)
        self._follow.toggled.connect(self._followed)

    def value(self) -> TileSetting:
        return self._wanted

    def setValue(self, value: TileSetting) -> None:
        if value != self._wanted:
            self._wanted = value
            self._show()
            self.valueChanged.emit(value)

    def setChoices(self, choices: Sequence[tuple[int, int]], chosen: int, budget: int) -> None:
        """The tiles that exist, the one that the budget allows, and the budget in bytes."""
        self._choices, self._budget = tuple(choices), budget
        if self._wanted.follows_budget or self._wanted.tile not in dict(choices):
            self._wanted = TileSetting(chosen, True)
        self._show()

    def _slid(self, index: int) -> None:
        self.setValue(TileSetting(self._choices[index][0], False))

    def _followed(self, on: bool) -> None:
        tile = self._wanted.tile
        if on:
            tile = max((t for t, b in self._choices if b <= self._budget), default=tile)
        self.setValue(TileSetting(tile, on))

    def _show(self) -> None:
        for widget in (self._slider, self._follow):
            widget.blockSignals(True)
        tiles = [tile for tile, _ in self._choices]
        self._slider.setRange(0, max(len(tiles) - 1, 0))
        if self._wanted.tile in tiles:
            self._slider.setValue(tiles.index(self._wanted.tile))
        self._slider.setEnabled(len(tiles) > 1)
        self._follow.setEnabled(bool(tiles))
        self._follow.setChecked(self._wanted.follows_budget)
        self._text.setText(self._describe())
        for widget in (self._slider, self._follow):
            widget.blockSignals(False)

    def _describe(self) -> str:
        needed = dict(self._choices).get(self._wanted.tile)
        if needed is None:
            return "known once the network is ready"
        text = f"{self._wanted.tile} px, {memory(needed)}"
        return f"{text}: over budget" if needed > self._budget else text
