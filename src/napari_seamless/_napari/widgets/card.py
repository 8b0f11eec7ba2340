"""What there is to know of a network, folded away until somebody wants to know."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QSizePolicy, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.fold import Fold
from napari_seamless._napari.widgets.plain_label import PlainLabel


@dataclass(frozen=True)
class Swatch:
    """A class of a network's output and its colour, `#rrggbb`."""

    name: str
    colour: str


@dataclass(frozen=True)
class CardContent:
    """A network's card. `rows` are (what, text); `limits` are what it is bad at."""

    title: str
    about: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    classes: tuple[Swatch, ...] = ()
    limits: tuple[str, ...] = ()


class ModelCard(QWidget):
    """Classes are always shown, the rest unfolds. Takes no room while there is no card.

    `keepWanted` means that the network is to be kept among the user's own. `offerKeep` shows or hides that offer.
    """

    valueChanged = Signal(object)
    keepWanted = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: CardContent | None = None
        self._classes = _text("swatches")
        self._classes.setTextFormat(Qt.TextFormat.RichText)
        self._keep = QCheckBox("Keep in my models")
        self._keep.setToolTip("Copies it to your own models, so that it is in this list next time, and in the shell")
        self._keep.setVisible(False)
        self._body = QWidget()
        self._fold = Fold("About this model", self._body)
        self._fold.setToolTip("What it was trained on, its licence, figures and limits")
        self._lines = QVBoxLayout(self._body)
        self._lines.setContentsMargins(4, 0, 0, 4)
        self._lines.setSpacing(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        column.addWidget(self._classes)
        column.addWidget(self._keep)
        column.addWidget(self._fold, 0, Qt.AlignmentFlag.AlignLeft)
        column.addWidget(self._body)
        self._keep.clicked.connect(self._ask_to_keep)
        self._show()

    def value(self) -> CardContent | None:
        return self._value

    def setValue(self, value: CardContent | None) -> None:
        if value == self._value:
            return
        self._value = value
        self._show()
        self.valueChanged.emit(value)

    def offerKeep(self, is_offered: bool) -> None:
        """Whether this network can be kept, and is not yet."""
        self._keep.setVisible(is_offered)
        self._keep.setEnabled(True)
        self._keep.setChecked(False)

    def _ask_to_keep(self) -> None:
        self._keep.setEnabled(False)
        self.keepWanted.emit()

    def _show(self) -> None:
        value = self._value
        self.setVisible(value is not None)
        while (item := self._lines.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.setParent(None)
                widget.deleteLater()
        if value is None:
            return
        squares = (f'<span style="color:{escape(s.colour)}">■</span>&nbsp;{escape(s.name)}' for s in value.classes)
        self._classes.setText(" &nbsp; ".join(squares))
        self._classes.setVisible(bool(value.classes))
        bad = [("Not good at", "\n".join(f"• {limit}" for limit in value.limits))] if value.limits else []
        for name, said in [("", value.about), *value.rows, *bad]:
            for kind, text in (("hint", name), ("card", said)):
                if text:
                    label = _text(kind, text)
                    label.setContentsMargins(0, 4 if kind == "hint" else 0, 0, 0)
                    self._lines.addWidget(label)


def _text(kind: str, text: str = "") -> PlainLabel:
    label = PlainLabel(text)
    label.setObjectName(kind)
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    # as wide as the dock is: a long word must not widen it
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Minimum)
    return label
