"""The run: one button whose meaning changes, how far it is, and what is to be thought of the result."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QHBoxLayout, QProgressBar, QPushButton, QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.run.status import caption, left_out_message, status, verdict_message
from napari_seamless._napari.widgets import StatusLabel, StatusMessage
from napari_seamless._napari.widgets.coverage import Coverage, CoverageMap
from napari_seamless._napari.widgets.dialogs import ExportDialog
from napari_seamless._napari.widgets.notice_list import NoticeList
from napari_seamless._napari.widgets.plot import RunPlot, Sample
from napari_seamless.runs.claims import ABOUT_ARITHMETIC

BAR_STEPS = 1000
MAIN_BUTTON = {"running": "Pause", "paused": "Resume", "starting": "Starting…", "following": "Done here"}
ESTIMATED = "Preview: statistics are estimated from a sample. Pixels as on the whole image replace it as they arrive."


class ProgressSection(Section):
    """`runPressed` means whatever the main button says at the moment."""

    field = "run"
    runPressed = Signal()
    cancelPressed = Signal()
    exportRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent=parent)
        self.main, self.cancel, self.export = QPushButton("Run"), QPushButton("Cancel"), QPushButton("Export…")
        self.main.setObjectName("main")
        self.cancel.setObjectName("second")
        self.main.setToolTip("Run, pause or resume (Alt+R over the canvas). What is on screen comes first.")
        self.cancel.setToolTip("Stop the run (Alt+X). What is finished stays.")
        self.export.setToolTip("Save what is finished as a file for other programs")
        self.bar = QProgressBar()
        self.bar.setAccessibleName("Progress of the run")
        self.bar.setFormat("%p %")
        self.caption, self.status = hint(), hint()
        self.caption.setObjectName("caption")
        self.preview, self.verdict, self.failed = StatusLabel(), StatusLabel(), StatusLabel()
        self.verdict.setToolTip(ABOUT_ARITHMETIC)
        buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.main, 3)
        row.addWidget(self.cancel, 1)
        self.map, self.plot = CoverageMap(), RunPlot()
        charts = QWidget()
        side = QHBoxLayout(charts)
        side.setContentsMargins(0, 0, 0, 0)
        side.addWidget(self.map)
        side.addWidget(self.plot, 1)
        self.add(buttons, self.bar, self.caption, self.status, charts)
        self.notices = NoticeList()
        self.add(self.notices, self.preview, self.verdict, self.failed, self.notice, self.export)
        self.main.clicked.connect(self.runPressed)
        self.cancel.clicked.connect(self.cancelPressed)
        self.export.clicked.connect(self._ask_where)

    def showPreview(self, is_on_screen: bool) -> None:
        """Whether something that is on screen is estimated."""
        self.preview.setValue(StatusMessage(ESTIMATED, "caution") if is_on_screen else None)

    def showNotices(self, sentences: Sequence[str]) -> None:
        """What should be known about the image, the network and how it is run."""
        self.notices.setValue(sentences)

    def showCoverage(self, value: Coverage | None) -> None:
        """What is done of the result that is shown, and where tiles are in work."""
        self.map.setValue(value)

    def showRun(self, now: Snapshot, image_shape: Sequence[int] | None) -> None:
        """Buttons, bar and words. `image_shape` is that of the chosen image, None where none is chosen."""
        self.main.setText("Starting…" if now.waits else MAIN_BUTTON.get(now.phase, "Run"))
        self.main.setEnabled(not now.waits and now.phase not in ("empty", "starting", "following"))
        self.cancel.setText("Stop" if now.phase == "following" else "Cancel")
        self.cancel.setEnabled(now.is_busy)
        self._show_bar(now)
        self._plot(now)
        set_text(self.caption, caption(now))
        set_text(self.status, status(now, image_shape))
        self.verdict.setValue(verdict_message(now))
        self.failed.setValue(left_out_message(now))
        done = now.progress is not None and now.progress.done > 0
        self.export.setVisible(now.progress is not None)
        self.export.setEnabled(done and (now.phase == "following" or not now.is_active) and not now.exporting)

    def _plot(self, now: Snapshot) -> None:
        if now.progress is None:
            self.plot.clear()
        elif now.phase == "running" and now.memory is not None:
            self.plot.add(Sample(now.progress.seconds, now.progress.rate, now.memory.used))

    def _show_bar(self, now: Snapshot) -> None:
        unknown = now.phase == "starting" or now.waits or now.exporting
        self.bar.setVisible(unknown or now.progress is not None)
        self.bar.setRange(0, 0 if unknown else BAR_STEPS)
        if not unknown:
            self.bar.setValue(int((now.progress.fraction if now.progress is not None else 0.0) * BAR_STEPS))

    def _ask_where(self) -> None:
        dialog = ExportDialog(self)
        dialog.wanted.connect(self.exportRequested)
        dialog.open()
