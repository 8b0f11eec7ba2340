"""Which network, and what it does."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from napari_seamless._napari.editors import ModelPicker
from napari_seamless._napari.problems import Field
from napari_seamless._napari.sections.section import Section, hint, tell


class ModelSection(Section):
    """A list of networks, and a line on the chosen one."""

    field: Field = "model"
    approximateRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Model", parent)
        self.picker = ModelPicker()
        self.about = hint()
        self.locked = (self.picker,)
        self.add(self.picker, self.about, self.notice)
        self.picker.valueChanged.connect(self._describe)
        self.notice.actionPressed.connect(self.approximateRequested)
        self._describe()

    def _describe(self, _value: object = None) -> None:
        tell(self.about, self.picker.description())
