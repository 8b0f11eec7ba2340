"""Which network, what it does, and how it goes with the image."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_seamless._napari.problems import RUN_APPROXIMATELY, Field
from napari_seamless._napari.run.sections.section import Section, hint, tell
from napari_seamless._napari.widgets import ModelCard, ModelPicker, RemarkLabel


class ModelSection(Section):
    """A list of networks; a line on the chosen one, its card, its resolution and speed.

    `reloadRequested` asks to load the chosen one again, with a question to the user on the way.
    """

    field: Field = "model"
    approximateRequested = Signal()
    reloadRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self.picker = ModelPicker()
        self.about = hint()
        self.card = ModelCard()
        self.match = RemarkLabel()
        self.speed = hint()
        self.locked = (self.picker,)
        self.add(self.picker, self.about, self.match, self.speed, self.card, self.notice)
        self.picker.valueChanged.connect(self._describe)
        self.notice.actionPressed.connect(self._act)
        self._describe()

    def _describe(self, _value: object = None) -> None:
        tell(self.about, self.picker.description())

    def _act(self, action: str) -> None:
        if action == RUN_APPROXIMATELY:
            self.approximateRequested.emit()
        else:
            self.reloadRequested.emit()
