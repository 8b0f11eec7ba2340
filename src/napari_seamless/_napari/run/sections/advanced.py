"""What most people never need: folded away, and unfolded when something in it needs attention."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from napari_seamless._napari.run.option_places import FORM, WORDS
from napari_seamless._napari.run.sections.section import Section
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.run.status import found_message
from napari_seamless._napari.widgets import Fold, OptionsForm, OutputEditor, StatusLabel, TileEditor
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless.runs.config import OPTIONS


class AdvancedSection(Section):
    """The size of the tiles, plain options of the run, where the result is kept, and the same as a script.

    `pythonRequested` and `commandRequested` mean: onto the clipboard.
    """

    field = "output"
    pythonRequested = Signal()
    commandRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.tile = TileEditor()
        self.options = OptionsForm([OPTIONS[name] for name in FORM], WORDS, first=WORDS)
        self.output = OutputEditor()
        self.found = StatusLabel()
        self.python, self.command = QPushButton("Copy as Python"), QPushButton("Copy as command")
        self.python.setToolTip("A script that makes the same result, onto the clipboard")
        self.command.setToolTip("A command line that makes the same result, onto the clipboard")
        self.locked = (self.output, self.options)
        self._inside = QWidget()
        self.fold = Fold("Advanced", self._inside)
        self._lay_out()
        self.options.valueChanged.connect(lambda changed: self.fold.tell(len(changed)))
        self.python.clicked.connect(self.pythonRequested)
        self.command.clicked.connect(self.commandRequested)

    def showSnapshot(self, now: Snapshot) -> None:
        super().showSnapshot(now)
        message = found_message(now)
        if message is not None and message != self.found.value():
            self.fold.setChecked(True)
        self.found.setValue(message)
        if self.notice.value() is not None or self.options.problem.value() is not None:
            self.fold.setChecked(True)

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.python)
        buttons.addWidget(self.command)
        column = QVBoxLayout(self._inside)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        parts: tuple[QWidget, ...] = (PlainLabel("Tile"), self.tile.slider, self.tile, self.options)
        for widget in (*parts, PlainLabel("Result"), self.output, self.found, self.notice):
            column.addWidget(widget)
        column.addLayout(buttons)
        self.add(self.fold)
        self.add(self._inside)
