"""Which image, what it is, and what of it is used."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.widgets import ImageOptionsEditor, SourcePicker


class ImageSection(Section):
    """A list of images, a line on the chosen one, and what can be chosen of it."""

    field = "image"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Image", parent)
        self.picker = SourcePicker()
        self.about = hint()
        self.options = ImageOptionsEditor()
        self.locked = (self.picker, self.options)
        self.add(self.picker, self.about, self.options, self.notice)

    def describe(self, text: str) -> None:
        """Its size, channels and so on."""
        set_text(self.about, text)
