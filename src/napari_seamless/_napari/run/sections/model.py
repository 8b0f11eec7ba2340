"""Which network, what it does, and how it goes with the image."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.widgets import ModelCard, ModelPicker, StatusLabel


class ModelSection(Section):
    """A list of networks; a line on the chosen one, its card, its resolution and speed."""

    field = "model"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self.picker = ModelPicker()
        self.about = hint()
        self.card = ModelCard()
        self.match = StatusLabel()
        self.speed = hint()
        self.locked = (self.picker,)
        self.add(self.picker, self.about, self.match, self.speed, self.card, self.notice)
        self.picker.valueChanged.connect(self._describe)
        self._describe()

    def _describe(self, _value: object = None) -> None:
        set_text(self.about, self.picker.description())
