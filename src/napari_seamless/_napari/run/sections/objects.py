"""How sure, how much apart and how large an object must be: tried on what is on screen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QSlider, QSpinBox, QWidget
from superqt import QLabeledDoubleSlider

from napari_seamless._napari.run.sections.section import Section, hint, set_text

STEP = 0.01
LARGEST_AREA = 100_000


@dataclass(frozen=True)
class ObjectWish:
    """Settings of objects; `min_area` in pixels of the labels."""

    probability: float
    overlap: float
    min_area: int = 0


class ObjectsSection(Section):
    """Hidden until `offer` is called. `wished` tells what the sliders say, whenever that changes."""

    wished = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Objects", parent)
        self.probability = _slider("Objects that are less likely are left out")
        self.overlap = _slider("Of objects that share more than this part of the smaller one, the likelier one is kept")
        self.smallest = QSpinBox()
        self.smallest.setRange(0, LARGEST_AREA)
        self.smallest.setSuffix(" px")
        self.smallest.setToolTip("Objects of fewer pixels are left out")
        self.words = hint()
        rows = QWidget()
        form = QFormLayout(rows)
        form.setContentsMargins(0, 0, 0, 0)
        for name, editor in (
            ("Probability", self.probability),
            ("Overlap", self.overlap),
            ("Smallest area", self.smallest),
        ):
            for named in (editor, *editor.findChildren(QSlider)):  # a labelled slider has the real one inside
                named.setAccessibleName(name)
            form.addRow(name, editor)
            editor.valueChanged.connect(self._tell)
        self.add(rows, self.words, self.notice)
        self.setVisible(False)

    def offer(self, made: ObjectWish, least: float) -> None:
        """Shows the settings of a result, whose probability can be lowered to `least`. Tells nothing."""
        self._quietly(lambda: self._put(made, least))
        self.describe("")
        self.setVisible(True)

    def value(self) -> ObjectWish:
        """What the sliders say."""
        return ObjectWish(round(self.probability.value(), 2), round(self.overlap.value(), 2), self.smallest.value())

    def describe(self, text: str) -> None:
        """A line on what is seen of it."""
        set_text(self.words, text)

    def _put(self, made: ObjectWish, least: float) -> None:
        self.probability.setRange(least, 0.99)
        self.overlap.setRange(0.0, 0.99)
        self.probability.setValue(made.probability)
        self.overlap.setValue(made.overlap)
        self.smallest.setValue(made.min_area)

    def _quietly(self, do: Callable[[], None]) -> None:
        was = self.blockSignals(True)
        try:
            do()
        finally:
            self.blockSignals(was)

    def _tell(self, _value: object) -> None:
        self.wished.emit(self.value())


def _slider(tip: str) -> QLabeledDoubleSlider:
    slider = QLabeledDoubleSlider(Qt.Orientation.Horizontal)
    slider.setDecimals(2)
    slider.setSingleStep(STEP)  # type: ignore[arg-type]  # which takes fractions
    slider.setToolTip(tip)
    return slider
