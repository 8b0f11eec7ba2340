"""What of a result is saved, and where: a form made from the options that Python and shell have for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLineEdit, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.options_form import OptionsForm
from napari_seamless.errors import BadRequest
from napari_seamless.io.writers.formats import FORMATS, format_for
from napari_seamless.runs.export_options import COMPUTED, EXPORT_OPTIONS

WORDS = {"roi": {COMPUTED: "all that was computed"}}
WIDTH = 460


@dataclass(frozen=True)
class ExportWish:
    """A file to write, and the options of an export by name, of which the default is not wanted."""

    path: Path
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


class ExportDialog(QDialog):
    """`wanted` tells what is to be saved, once, when all that is typed can be."""

    wanted = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Export the result")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setMinimumWidth(WIDTH)
        kinds = ";;".join(f"{one.title} ({' '.join(f'*{end}' for end in one.suffixes)})" for one in FORMATS)
        self.path = FileEdit(mode=FileDialogMode.OPTIONAL_FILE, filter=kinds, nullable=True, value=None)
        self.path.choose_btn.text = "Choose…"
        line: QLineEdit = self.path.line_edit.native
        line.setPlaceholderText(" or ".join(f"result{one.suffixes[0]}" for one in FORMATS))
        line.setAccessibleName("The file to write")
        self.form = OptionsForm(tuple(EXPORT_OPTIONS.values()), WORDS)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.save = self.buttons.addButton("Export", QDialogButtonBox.ButtonRole.AcceptRole)
        column = QVBoxLayout(self)
        for widget in (self.path.native, self.form, self.buttons):
            column.addWidget(widget)
        self.buttons.accepted.connect(self._accept)
        self.buttons.rejected.connect(self.reject)

    def _accept(self) -> None:
        """Stays open, and says why, where that is nothing to save."""
        path = Path(str(self.path.line_edit.value))
        try:
            format_for(path)
            options = self.form.value()
        except BadRequest as refusal:
            self.form.tell(refusal)
            return
        self.wanted.emit(ExportWish(path.expanduser(), options))
        self.accept()
