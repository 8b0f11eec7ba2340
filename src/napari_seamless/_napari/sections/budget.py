"""How much memory, and what follows from it."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.editors import BudgetEditor
from napari_seamless._napari.problems import Field
from napari_seamless._napari.sections.section import Section


class BudgetSection(Section):
    """The memory that a run may use."""

    field: Field = "budget"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Memory", parent)
        self.budget = BudgetEditor()
        self.add(self.budget, self.notice)
