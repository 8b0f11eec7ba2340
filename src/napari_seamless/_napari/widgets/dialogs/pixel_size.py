"""How large is a pixel of this image?"""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QDoubleSpinBox, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.plain_label import PlainLabel


class PixelSizeDialog(QDialog):
    """Micrometres per pixel. Nothing is filled in unless somebody said it before: `answered` gives the number.

    `hint` is a line on what may help, such as the scale of the layer.
    """

    answered = Signal(float)

    def __init__(self, image: str, hint: str = "", value: float | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Set pixel size")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        asked = PlainLabel(
            f"How many micrometres is a pixel of {image} at full resolution?\n"
            "Scanners often give 0.25 (40x) or 0.5 (20x); the file's documentation says it."
        )
        self.hint = PlainLabel(hint)
        self.hint.setObjectName("hint")
        self.hint.setVisible(bool(hint))
        self.amount = QDoubleSpinBox()
        self.amount.setDecimals(4)
        self.amount.setRange(0.0, 1000.0)
        self.amount.setSingleStep(0.05)
        self.amount.setSuffix(" µm per pixel")
        self.amount.setSpecialValueText("not known")
        self.amount.setAccessibleName("Micrometres per pixel")
        self.amount.setValue(value or 0.0)
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        column = QVBoxLayout(self)
        for label in (asked, self.hint):
            label.setWordWrap(True)
            column.addWidget(label)
        column.addWidget(self.amount)
        column.addWidget(self.buttons)
        self.setMinimumWidth(380)
        self.amount.valueChanged.connect(self._edited)
        self.buttons.accepted.connect(self._take)
        self.buttons.rejected.connect(self.reject)
        self._edited(self.amount.value())
        self.amount.setFocus()
        self.amount.selectAll()

    def _edited(self, size: float) -> None:
        ok = self.buttons.button(QDialogButtonBox.StandardButton.Ok)
        if ok is not None:
            ok.setEnabled(size > 0)

    def _take(self) -> None:
        self.answered.emit(self.amount.value())
        self.accept()
