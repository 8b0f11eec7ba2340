"""What a person should know about an image, a network and a run: a line with a count, that unfolds."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QFrame, QScrollArea, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.fold import Fold
from napari_seamless._napari.widgets.plain_label import PlainLabel

MOST_HEIGHT = 120
"""Pixels of the list; it scrolls when there is more to say."""


class NoticeList(QWidget):
    """Shows sentences, one below the other, or nothing at all (and takes no room then).

    It unfolds when there is something new to read, and stays folded or unfolded as it was when there is not.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: tuple[str, ...] = ()
        self._texts = Sentences()
        self.fold = Fold("Notices", self._texts)
        self.fold.setObjectName("cautions")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(2)
        column.addWidget(self.fold)
        column.addWidget(self._texts)
        self.setVisible(False)

    def value(self) -> tuple[str, ...]:
        """The sentences, as they were given."""
        return self._value

    def setValue(self, sentences: Sequence[str]) -> None:
        """Shows each of these once."""
        before, self._value = self._value, tuple(dict.fromkeys(sentences))
        if self._value == before:
            return
        count = len(self._value)
        self.fold.setText(f"{count} notice{'s' if count > 1 else ''}")
        self.fold.setAccessibleName(self.fold.text())
        self._texts.setValue(self._value)
        self.setVisible(bool(count))
        if set(self._value) - set(before):
            self.fold.setChecked(True)

    def text(self) -> str:
        """What can be read while it is unfolded."""
        return self._texts.text()


class Sentences(QScrollArea):
    """Sentences, as high as they are, up to a limit."""

    def __init__(self) -> None:
        super().__init__()
        self._label = PlainLabel()
        self._label.setObjectName("caution")
        self._label.setWordWrap(True)
        self._label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._label.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setWidgetResizable(True)
        self.setWidget(self._label)

    def setValue(self, sentences: Sequence[str]) -> None:
        """Shows each with a capital letter and a full stop."""
        bullet = "\N{BULLET} " if len(sentences) > 1 else ""
        self._label.setText("\n".join(f"{bullet}{text[:1].upper()}{text[1:]}." for text in sentences))
        self._fit()

    def text(self) -> str:
        return self._label.text()

    def resizeEvent(self, event: QResizeEvent | None) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        bar = self.verticalScrollBar()
        width = self.width() - (0 if bar is None else bar.sizeHint().width())
        self.setFixedHeight(max(0, min(self._label.heightForWidth(max(width, 50)), MOST_HEIGHT)))
