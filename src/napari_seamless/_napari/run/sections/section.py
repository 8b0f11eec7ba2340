"""What all sections have in common: a heading, a column, and notices about what is in it."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFrame, QHBoxLayout, QSizePolicy, QVBoxLayout, QWidget

from napari_seamless._napari.problems import Field
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets.notice import NoticeLabel
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless.errors import Remedy


class Section(QWidget):
    """A heading and a column of widgets under it.

    `notice` shows a problem whose field is this section's; its button asks for the problem's remedy. What is in
    `locked` cannot be changed while a run goes on.
    """

    field: Field | None = None
    remedyRequested = Signal(object)

    def __init__(self, title: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.notice = NoticeLabel()
        self.locked: tuple[QWidget, ...] = ()
        self._remedy: Remedy | None = None
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._column.setSpacing(4)
        if title:
            self.setAccessibleName(title)
            self._column.addWidget(_heading(title))
        self.notice.actionPressed.connect(self._ask_remedy)

    def add(self, *widgets: QWidget) -> None:
        """Puts widgets under the others; the notice is one of them."""
        for widget in widgets:
            self._column.addWidget(widget)

    def showSnapshot(self, now: Snapshot) -> None:
        """How things stand, as far as this section is concerned."""
        for widget in self.locked:
            widget.setEnabled(not now.is_busy)
        problem = now.problem if now.problem is not None and now.problem.field == self.field else None
        self.notice.setValue(None if problem is None else problem.notice)
        self._remedy = None if problem is None else problem.remedy

    def _ask_remedy(self, _action: str) -> None:
        if self._remedy is not None:
            self.remedyRequested.emit(self._remedy)


def hint() -> PlainLabel:
    """A line of small weight under an editor."""
    label = PlainLabel()
    label.setObjectName("hint")
    label.setWordWrap(True)
    label.setVisible(False)
    return label


def set_text(label: PlainLabel, text: str) -> None:
    """Shows a text, or nothing at all (which takes no room then)."""
    label.setText(text)
    label.setVisible(bool(text))


def _heading(title: str) -> QWidget:
    heading, label, line = QWidget(), PlainLabel(title), QFrame()
    label.setObjectName("heading")
    line.setObjectName("rule")
    line.setFrameShape(QFrame.Shape.HLine)
    line.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    row = QHBoxLayout(heading)
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(8)
    row.addWidget(label)
    row.addWidget(line, 1)
    return heading
