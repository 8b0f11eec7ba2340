"""How much of the image."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_seamless._napari.run.sections.section import Section, hint, set_text
from napari_seamless._napari.widgets import ExtentEditor
from napari_seamless.geometry import Region


class RoiSection(Section):
    """Where the network is run."""

    field = "roi"

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Where", parent)
        self.extent = ExtentEditor()
        self.only = hint()
        self.only.setToolTip("The region under Advanced: More options")
        self.locked = (self.extent,)
        self.add(self.extent, self.only, self.notice)

    def describe(self, region: Region | None) -> None:
        """The region outside of which nothing is looked at, None where there is none."""
        spans = () if region is None else region.intervals
        names = ("planes", "rows", "columns")[-len(spans) :]
        said = ", ".join(f"{name} {span.lo} to {span.hi}" for name, span in zip(names, spans, strict=False))
        set_text(self.only, f"Only inside of {said}." if said else "")
