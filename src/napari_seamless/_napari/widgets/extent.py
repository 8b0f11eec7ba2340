"""How much of the image a run covers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QButtonGroup,
    QHBoxLayout,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_seamless._napari.widgets.combo import NameList
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless._napari.widgets.source import SourceOption

Kind = Literal["whole", "view", "tissue", "shapes"]
NAMES: dict[Kind, str] = {"whole": "Everything", "view": "View", "tissue": "Tissue", "shapes": "Shapes"}
MEANINGS: dict[Kind, str] = {
    "whole": "What you see first, then all the rest.",
    "view": "What is on screen, wherever you go.",
    "tissue": "What is tissue by its colour; the rest stays empty.",
    "shapes": "What you have drawn.",
}
TIPS: dict[Kind, str] = {
    "whole": "All of the image. Pan or zoom while it runs: the new view goes first.",
    "view": "Follows the view: what you look at is computed, with a margin, until you press Stop.",
    "tissue": "Leaves out the empty glass around the tissue, found by its colour.",
    "shapes": "Rectangles, ellipses, polygons and freehand shapes of a Shapes layer.\n"
    "A path counts as the area that it encloses.",
}


@dataclass(frozen=True)
class Extent:
    """All of an image, what is on screen, its tissue, or what a layer of shapes covers (`shapes` is its key)."""

    kind: Kind = "whole"
    shapes: str | None = None

    @property
    def whole(self) -> bool:
        """Whether the run has an end, and does not follow the view."""
        return self.kind != "view"


class ExtentEditor(QWidget):
    """Four buttons of which one is down, and under them the layers of shapes where those are meant.

    `drawRequested` means that the user wants to draw shapes, and there may be no layer for them yet.
    """

    valueChanged = Signal(object)
    drawRequested = Signal()

    def __init__(self, value: Extent | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = value or Extent()
        self._group = QButtonGroup(self)
        self._buttons: dict[Kind, QToolButton] = {kind: self._button(kind) for kind in get_args(Kind)}
        self._meaning = PlainLabel()
        self._meaning.setObjectName("hint")
        self._meaning.setWordWrap(True)
        self._layers = NameList("Layer of shapes")
        self._layers.setPlaceholderText("no shapes yet")
        self._layers.setToolTip("The layer whose shapes say where to run")
        self._draw = QPushButton("Draw…")
        self._draw.setToolTip("Draw where to run (Alt+D): a rectangle at first; other tools are in the layer controls")
        self._drawn = QWidget()
        self._lay_out()
        self._show()
        self._group.buttonClicked.connect(self._pressed)
        self._layers.activated.connect(self._picked)
        self._draw.clicked.connect(self.drawRequested)

    def value(self) -> Extent:
        return self._value

    def setValue(self, value: Extent) -> None:
        if value != self._value:
            self._value = value
            self._show()
            self.valueChanged.emit(value)

    def setLayers(self, options: Sequence[SourceOption]) -> None:
        """The layers of shapes that there are. A choice that is gone falls to the first of them."""
        self._layers.clear()
        for option in options:
            self._layers.addItem(option.name, option.key)
        keys = [option.key for option in options]
        if self._value.kind == "shapes" and self._value.shapes not in keys:
            self.setValue(Extent("shapes", keys[0] if keys else None))
        self._show()

    def _button(self, kind: Kind) -> QToolButton:
        button = QToolButton()
        button.setObjectName("segment")
        button.setText(NAMES[kind])
        button.setToolTip(TIPS[kind])
        button.setAccessibleName(f"Where to run: {NAMES[kind]}")
        button.setCheckable(True)
        button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self._group.addButton(button)
        return button

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.setSpacing(2)
        for button in self._buttons.values():
            buttons.addWidget(button, 1)
        shapes = QHBoxLayout(self._drawn)
        shapes.setContentsMargins(0, 0, 0, 0)
        shapes.addWidget(self._layers, 1)
        shapes.addWidget(self._draw)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(buttons)
        column.addWidget(self._meaning)
        column.addWidget(self._drawn)

    def _show(self) -> None:
        self._buttons[self._value.kind].setChecked(True)
        self._meaning.setText(MEANINGS[self._value.kind])
        self._drawn.setVisible(self._value.kind == "shapes")
        self._layers.setCurrentIndex(-1 if self._value.shapes is None else self._layers.findData(self._value.shapes))

    def _pressed(self, button: QToolButton) -> None:
        kind = next(kind for kind, known in self._buttons.items() if known is button)
        first = self._layers.itemData(0)
        self.setValue(Extent(kind, (self._value.shapes or first) if kind == "shapes" else None))

    def _picked(self, index: int) -> None:
        self.setValue(Extent("shapes", self._layers.itemData(index)))
