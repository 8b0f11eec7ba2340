"""How much of the image."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section
from napari_seamless._napari.widgets import ExtentEditor


class RoiSection(Section):
    """Where the network is run."""

    field = "roi"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Where", parent)
        self.extent = ExtentEditor()
        self.locked = (self.extent,)
        self.add(self.extent, self.notice)
