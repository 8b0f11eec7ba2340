"""May code that came with a file run?"""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLayout, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.plain_label import PlainLabel

WIDTH = 460
SHOWN = 12
"""Characters of a digest: enough to compare by eye."""


class TrustDialog(QDialog):
    """Names the file, its digest, and what would run. `answered` says yes or no, once; closing it is a no."""

    answered = Signal(bool)

    def __init__(self, file: str, digest: str, runs: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Run code from this file?")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        named = f"{file}  (sha256 {digest[:SHOWN]}…)" if digest else file
        self.question = _text(f"To open this model, code that came with it has to run:\n\n{named}\nwould run {runs}.")
        self.warning = _text(
            "Such code can do whatever you can do on this machine, with all of your files. Say yes only if you know "
            "where the file comes from. Your yes is remembered for this very file, and for no other."
        )
        self.warning.setObjectName("caution")
        self.buttons = QDialogButtonBox()
        self.no = self.buttons.addButton("No", QDialogButtonBox.ButtonRole.RejectRole)
        self.yes = self.buttons.addButton("Yes, run it", QDialogButtonBox.ButtonRole.AcceptRole)
        column = QVBoxLayout(self)
        for widget in (self.question, self.warning, self.buttons):
            column.addWidget(widget)
        column.setSizeConstraint(QLayout.SizeConstraint.SetFixedSize)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.finished.connect(lambda code: self.answered.emit(code == QDialog.DialogCode.Accepted))
        if self.yes is not None and self.no is not None:
            self.yes.setAutoDefault(False)
            self.no.setDefault(True)
            self.no.setFocus()


def _text(text: str) -> PlainLabel:
    label = PlainLabel(text)
    label.setWordWrap(True)
    label.setFixedWidth(WIDTH)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label
