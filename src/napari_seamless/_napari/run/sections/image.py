"""Which image, what it is, and what of it is used."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.widgets import ImageOptionsEditor, SourcePicker, StatusLabel


class ImageSection(Section):
    """A list of images, a line on the chosen one, what can be chosen of it, and how it is stored where that matters."""

    field = "image"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Image", parent)
        self.picker = SourcePicker()
        self.about = hint()
        self.options = ImageOptionsEditor()
        self.status = StatusLabel()
        self.locked = (self.picker, self.options)
        self.add(self.picker, self.about, self.options, self.status, self.notice)

    def describe(self, text: str) -> None:
        """Its size, channels and so on."""
        set_text(self.about, text)
