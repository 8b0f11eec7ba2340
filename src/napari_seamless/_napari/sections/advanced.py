"""What most people never need: folded away, and unfolded when something in it needs attention."""

from __future__ import annotations

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget
from superqt import QCollapsible

from napari_seamless._napari.editors import OutputEditor, TileEditor
from napari_seamless._napari.problems import Field
from napari_seamless._napari.sections.section import Section
from napari_seamless._napari.state import Snapshot


class AdvancedSection(Section):
    """The size of the tiles, and where the result is kept."""

    field: Field = "output"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.tile = TileEditor()
        self.output = OutputEditor()
        self.locked = (self.output,)
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        for widget in (QLabel("Tile"), self.tile.slider, self.tile, QLabel("Result"), self.output, self.notice):
            column.addWidget(widget)
        self.fold = QCollapsible("Advanced")
        self.fold.setDuration(0)
        self.fold.setContent(inside)
        self.fold.collapse(animate=False)
        self.add(self.fold)

    def showSnapshot(self, now: Snapshot) -> None:
        super().showSnapshot(now)
        if self.notice.value() is not None and not self.fold.isExpanded():
            self.fold.expand(animate=False)
