"""The face of the dock: its sections in one column. Knows neither the viewer nor the library."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QSizePolicy, QVBoxLayout, QWidget

from napari_seamless._napari.problems import Field, Problem
from napari_seamless._napari.run.sections.advanced import AdvancedSection
from napari_seamless._napari.run.sections.budget import BudgetSection
from napari_seamless._napari.run.sections.image import ImageSection
from napari_seamless._napari.run.sections.model import ModelSection
from napari_seamless._napari.run.sections.objects import ObjectsSection
from napari_seamless._napari.run.sections.progress import ProgressSection
from napari_seamless._napari.run.sections.roi import RoiSection
from napari_seamless._napari.run.sections.section import Section
from napari_seamless._napari.run.state import Snapshot
from napari_seamless._napari.widgets import NoticeLabel
from napari_seamless._napari.widgets.coverage import Coverage
from napari_seamless._napari.widgets.scroll import Column

SETTLES_MS = 100


class Panel(QWidget):
    """What to run on what above, in a column that scrolls where the window is low; the run below, always in sight.

    Editors of the sections are attributes of the panel, too.
    """

    runPressed = Signal()
    cancelPressed = Signal()
    exportRequested = Signal(object)
    remedyRequested = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.image_section, self.model_section, self.roi = ImageSection(), ModelSection(), RoiSection()
        self.budget_section, self.advanced, self.progress = BudgetSection(), AdvancedSection(), ProgressSection()
        self.objects = ObjectsSection()
        self.sections: tuple[Section, ...] = (
            self.image_section,
            self.model_section,
            self.roi,
            self.budget_section,
            self.advanced,
            self.objects,
            self.progress,
        )
        self.source, self.model = self.image_section.picker, self.model_section.picker
        self.extent, self.budget = self.roi.extent, self.budget_section.budget
        self.tile, self.output, self.options = self.advanced.tile, self.advanced.output, self.advanced.options
        self.notices: dict[Field, NoticeLabel] = {s.field: s.notice for s in self.sections if s.field is not None}
        self._lay_out()
        self._problem: Problem | None = None
        self._reveal = QTimer(self)  # a notice that is shown gets its place a moment later
        self._reveal.setSingleShot(True)
        self._reveal.setInterval(SETTLES_MS)
        self._reveal.timeout.connect(self._scroll_to_problem)
        self.progress.runPressed.connect(self.runPressed)
        self.progress.cancelPressed.connect(self.cancelPressed)
        self.progress.exportRequested.connect(self.exportRequested)
        for part in self.sections:
            part.remedyRequested.connect(self.remedyRequested)
        self.showSnapshot(Snapshot(), None)

    def _lay_out(self) -> None:
        choices = QWidget()
        column = QVBoxLayout(choices)
        column.setContentsMargins(10, 8, 10, 8)
        column.setSpacing(10)
        for section in self.sections[:-1]:
            column.addWidget(section)
        column.addStretch(1)
        self.column = Column(choices)
        rows = QVBoxLayout(self)
        rows.setContentsMargins(0, 0, 0, 0)
        rows.setSpacing(0)
        rows.addWidget(self.column, 1)
        rows.addWidget(self.progress)
        self.progress.setContentsMargins(10, 6, 10, 8)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def describe_image(self, text: str) -> None:
        """A line under the image: its size, channels and so on."""
        self.image_section.describe(text)

    def showCoverage(self, value: Coverage | None) -> None:
        """What is done of the result that is shown."""
        self.progress.showCoverage(value)

    def showPreview(self, is_on_screen: bool) -> None:
        """Whether something that is on screen is estimated."""
        self.progress.showPreview(is_on_screen)

    def showNotices(self, sentences: Sequence[str]) -> None:
        """What should be known about the image, the network and how it is run, each once."""
        self.progress.showNotices(sentences)

    def showSnapshot(self, now: Snapshot, image_shape: Sequence[int] | None) -> None:
        """Shows a snapshot. `image_shape` is that of the chosen image, None where none is chosen."""
        for section in self.sections:
            section.showSnapshot(now)
        self.progress.showRun(now, image_shape)
        self.column.updateGeometry()
        self._show_problem(now)

    def _show_problem(self, now: Snapshot) -> None:
        """Scrolls to the field that a new problem is about."""
        if now.problem is not None and now.problem != self._problem:
            self._reveal.start()
        self._problem = now.problem

    def _scroll_to_problem(self) -> None:
        if self._problem is not None:
            self.column.ensureWidgetVisible(self.notices[self._problem.field])
