"""The tile size: it follows the memory budget until somebody moves the slider."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QHBoxLayout, QSlider, QWidget

from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless._napari.widgets.wording import memory


@dataclass(frozen=True)
class TileSetting:
    """Edge of a tile in output pixels (0 while unknown), and whether the budget decides it."""

    tile: int = 0
    follows_budget: bool = True


class TileEditor(QWidget):
    """A slider over the tile sizes that a network allows, each with the memory that it needs.

    The slider is a widget of its own, so that a form can line its label up with it; this one holds what belongs under
    it. `setChoices` gives (tile, bytes) pairs, smallest first; until then there is nothing to slide.
    """

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._choices: tuple[tuple[int, int], ...] = ()
        self._wanted = TileSetting()
        self._budget = self._allowed = 0
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setPageStep(1)
        self.slider.setTickPosition(QSlider.TickPosition.TicksBelow)
        self.slider.setAccessibleName("Tile size")
        self.slider.setToolTip("Smaller tiles appear sooner and need less memory; larger ones waste less work.")
        self._follow = QCheckBox("follow budget")
        self._follow.setToolTip("The largest tile that fits in the memory budget")
        self._text = PlainLabel()
        self._text.setObjectName("hint")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._text, 1)
        row.addWidget(self._follow)
        self._show()
        self.slider.valueChanged.connect(self._slid)
        self._follow.toggled.connect(self._followed)

    def value(self) -> TileSetting:
        return self._wanted

    def setValue(self, value: TileSetting) -> None:
        if value != self._wanted:
            self._wanted = value
            self._show()
            self.valueChanged.emit(value)

    def setChoices(self, choices: Sequence[tuple[int, int]], chosen: int, budget: int) -> None:
        """The tiles to slide over, the one that the budget allows, and the budget in bytes. One set by hand stays."""
        self._choices, self._allowed, self._budget = tuple(choices), chosen, budget
        if self._wanted.follows_budget:
            self._wanted = TileSetting(chosen, True)
        self._show()

    def _slid(self, index: int) -> None:
        self.setValue(TileSetting(self._choices[index][0], False))

    def _followed(self, on: bool) -> None:
        self.setValue(TileSetting(self._allowed if on else self._wanted.tile, on))

    def _show(self) -> None:
        for widget in (self.slider, self._follow):
            widget.blockSignals(True)
        tiles = [tile for tile, _ in self._choices]
        self.slider.setRange(0, max(len(tiles) - 1, 0))
        if self._wanted.tile in tiles:
            self.slider.setValue(tiles.index(self._wanted.tile))
        self.slider.setEnabled(len(tiles) > 1)
        self._follow.setEnabled(bool(tiles))
        self._follow.setChecked(self._wanted.follows_budget)
        self._text.setText(self._describe())
        for widget in (self.slider, self._follow):
            widget.blockSignals(False)

    def _describe(self) -> str:
        needed = dict(self._choices).get(self._wanted.tile)
        if needed is None:
            return f"{self._wanted.tile} px" if self._wanted.tile else "not known yet"
        text = f"{self._wanted.tile} px, {memory(needed)}"
        return f"{text}: over budget" if needed > self._budget else text
