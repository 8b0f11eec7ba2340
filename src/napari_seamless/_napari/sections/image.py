"""Which image, and what it is."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.editors import SourcePicker
from napari_seamless._napari.problems import Field
from napari_seamless._napari.sections.section import Section, hint, tell


class ImageSection(Section):
    """A list of images, and a line on the chosen one."""

    field: Field = "image"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Image", parent)
        self.picker = SourcePicker()
        self.about = hint()
        self.locked = (self.picker,)
        self.add(self.picker, self.about, self.notice)

    def describe(self, text: str) -> None:
        """Its size, channels and so on."""
        tell(self.about, text)
