"""The face of the dock: all editors in one column, and how a snapshot looks. Knows no viewer and no pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QProgressBar, QPushButton, QVBoxLayout, QWidget

from napari_seamless._napari.editors import (
    BudgetEditor,
    ExtentEditor,
    ModelPicker,
    NoticeLabel,
    OutputEditor,
    Remark,
    RemarkLabel,
    SourcePicker,
    TileEditor,
)
from napari_seamless._napari.editors.output import ask_for_store
from napari_seamless._napari.problems import Field
from napari_seamless._napari.state import Snapshot
from napari_seamless._napari.wording import advance, first_look, size

BAR_STEPS = 1000
MAIN_BUTTON = {"running": "Pause", "paused": "Resume", "starting": "Starting…", "following": "Done here"}


class Panel(QWidget):
    """Choices above, the run below. `runPressed` means whatever the main button says at the moment."""

    runPressed = Signal()
    cancelPressed = Signal()
    exportRequested = Signal(object)
    approximateRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.source = SourcePicker()
        self.model = ModelPicker()
        self.budget = BudgetEditor()
        self.tile = TileEditor()
        self.extent = ExtentEditor()
        self.output = OutputEditor()
        self.notices: dict[Field, NoticeLabel] = {
            name: NoticeLabel() for name in ("image", "model", "budget", "output", "run")
        }
        self.preview, self.verdict = RemarkLabel(), RemarkLabel()
        self._about_image, self._about_model = _hint(), _hint()
        self._caption, self._status = QLabel(), _hint()
        self._caption.setObjectName("caption")
        self._main, self._cancel, self._export = QPushButton("Run"), QPushButton("Cancel"), QPushButton("Export…")
        self._bar = QProgressBar()
        self._lay_out()
        self._main.clicked.connect(self.runPressed)
        self._cancel.clicked.connect(self.cancelPressed)
        self._export.clicked.connect(self._ask_where)
        self.notices["model"].actionPressed.connect(self.approximateRequested)
        self.model.valueChanged.connect(self._describe_model)
        self._describe_model()
        self.showSnapshot(Snapshot(), None)

    def describe_image(self, text: str) -> None:
        """A line under the image: its size, channels and so on."""
        self._about_image.setText(text)
        self._about_image.setVisible(bool(text))

    def showPreview(self, is_on_screen: bool) -> None:
        """Whether something that is on screen is estimated."""
        self.preview.setValue(Remark(ESTIMATED, "caution") if is_on_screen else None)

    def showSnapshot(self, now: Snapshot, image_shape: Sequence[int] | None) -> None:
        """Shows a snapshot. `image_shape` is that of the chosen image, None where none is chosen."""
        waits = now.queued and now.phase == "preparing"
        self._main.setText("Starting…" if waits else MAIN_BUTTON.get(now.phase, "Run"))
        self._main.setEnabled(not waits and now.phase not in ("empty", "starting", "following"))
        self._cancel.setText("Stop" if now.phase == "following" else "Cancel")
        self._cancel.setEnabled(now.is_active or waits)
        for editor in (self.source, self.model, self.extent, self.output):
            editor.setEnabled(not now.is_active and not waits)
        for field, label in self.notices.items():
            matches = now.problem is not None and now.problem.field == field
            label.setValue(now.problem.notice if matches and now.problem else None)
        self._show_progress(now, waits)
        self._status.setText(_status(now, image_shape))
        self.verdict.setValue(_remark(now))
        done = now.progress is not None and now.progress.done > 0
        self._export.setEnabled(done and (now.phase == "following" or not now.is_active) and not now.exporting)

    def _show_progress(self, now: Snapshot, waits: bool) -> None:
        busy = now.phase == "starting" or waits or now.exporting
        self._bar.setRange(0, 0 if busy else BAR_STEPS)
        fraction = now.progress.fraction if now.progress is not None else 0.0
        if not busy:
            self._bar.setValue(int(fraction * BAR_STEPS))
        self._caption.setText(_caption(now))

    def _describe_model(self, _value: object = None) -> None:
        self._about_model.setText(self.model.description())
        self._about_model.setVisible(bool(self.model.description()))

    def _ask_where(self) -> None:
        path: Path | None = ask_for_store(self, "Export the result as OME-Zarr")
        if path is not None:
            self.exportRequested.emit(path)

    def _lay_out(self) -> None:
        self._bar.setTextVisible(True)
        self._bar.setFormat("%p %")
        self._main.setObjectName("main")
        self._cancel.setObjectName("second")
        column = QVBoxLayout(self)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(8)
        column.addLayout(self._choices())
        column.addWidget(_rule())
        buttons = QHBoxLayout()
        buttons.addWidget(self._main, 3)
        buttons.addWidget(self._cancel, 1)
        column.addLayout(buttons)
        column.addWidget(self._bar)
        column.addWidget(self._caption)
        column.addWidget(self._status)
        column.addWidget(self.preview)
        column.addWidget(self.verdict)
        column.addWidget(self.notices["run"])
        column.addWidget(self._export)
        column.addStretch(1)

    def _choices(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(10)
        grid.setVerticalSpacing(5)
        grid.setColumnStretch(1, 1)
        rows: tuple[tuple[str, tuple[QWidget, ...]], ...] = (
            ("Image", (self.source, self._about_image, self.notices["image"])),
            ("Model", (self.model, self._about_model, self.notices["model"])),
            ("Memory", (self.budget, self.notices["budget"])),
            ("Tile", (self.tile.slider, self.tile)),
            ("Region", (self.extent,)),
            ("Result", (self.output, self.notices["output"])),
        )
        row = 0
        for name, widgets in rows:
            grid.addWidget(QLabel(name), row, 0, Qt.AlignmentFlag.AlignVCenter)
            for widget in widgets:
                grid.addWidget(widget, row, 1)
                row += 1
        return grid


def _hint() -> QLabel:
    label = QLabel()
    label.setObjectName("hint")
    label.setWordWrap(True)
    return label


def _rule() -> QFrame:
    line = QFrame()
    line.setObjectName("rule")
    line.setFrameShape(QFrame.Shape.HLine)
    return line


def _caption(now: Snapshot) -> str:
    """How far the run is, or its first look."""
    if now.progress is None:
        return ""
    if now.first_look is not None and now.phase == "running":
        return first_look(now.first_look, now.progress)
    return advance(now.progress)


def _remark(now: Snapshot) -> Remark | None:
    """What is to be thought of the result."""
    verdict = now.verdict
    if verdict is not None:
        return Remark(f"{verdict.text[:1].upper()}{verdict.text[1:]}.", "good" if verdict.is_good else "caution")
    return Remark(BLENDED, "caution") if now.approximate else None


def _status(now: Snapshot, image_shape: Sequence[int] | None) -> str:
    """One sentence on what is going on."""
    if now.exporting:
        return "Exporting…"
    if now.exported is not None:
        return f"Exported to {now.exported}."
    if now.phase == "preparing" and image_shape is not None:
        then = " The run starts when it is done." if now.queued else ""
        return f"Preparing the network for {size(image_shape)}…{then}"
    progress = now.progress
    if now.phase == "running" and progress is not None:
        if progress.passes > 1 and progress.state == "waiting":
            return "Looking at a sample of the image, for a first look…"
        if now.first_look is not None:
            return "A first look at what is on screen, before the whole image is measured."
        if progress.pass_number < progress.passes:
            return "Exact pixels come with the last pass; what is on screen comes first."
        if 0 < progress.total <= progress.done:
            return "Checking a few places again…"
    if now.phase == "empty":
        if now.problem is not None:
            return ""
        return "Open an image to begin." if image_shape is None else "Choose a model."
    return STATUS[now.phase]


ESTIMATED = "Preview: statistics are estimated from a sample. Exact pixels replace it as they arrive."
BLENDED = "Approximate: overlapping tiles are blended, since this network cannot be computed exactly."
STATUS = {
    "preparing": "Preparing the network…",
    "ready": "Ready.",
    "starting": "Starting the workers…",
    "running": "What is on screen comes first.",
    "paused": "Paused. What is finished stays.",
    "following": "All that is on screen is done; pan or zoom to go on.",
    "finished": "Finished.",
    "cancelled": "Cancelled. What is finished stays and can be exported.",
    "failed": "Stopped by an error. What is finished stays and can be exported.",
}
