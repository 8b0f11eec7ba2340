"""What of an image goes into a network: which scene, which channels, how its axes and pixel size are to be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QGridLayout, QPushButton, QWidget

from napari_seamless._napari.widgets.combo import NameList
from napari_seamless._napari.widgets.plain_label import PlainLabel

NOT_CHOSEN = "choose…"


ChannelChoice = tuple[int | None, ...]
"""For each channel that the network wants, the number of one of the image's; None where nobody has said."""


@dataclass(frozen=True)
class ChannelMapping:
    """`wanted` names what the network wants, `there` what the image has, `chosen` which goes where.

    `by_name` says that the names alone decided.
    """

    wanted: tuple[str, ...]
    there: tuple[str, ...]
    chosen: ChannelChoice
    by_name: bool = False


@dataclass(frozen=True)
class ImageSetting:
    """What somebody has said of an image.

    `channels` has one number (from 0) for each channel that the network wants, None where none is chosen; it is None
    itself where the image goes in as it is. `pixel_size` is in micrometres, None for what the image says. `axes` has a
    letter an axis (c z y x t), None where they are plain.
    """

    channels: ChannelChoice | None = None
    pixel_size: float | None = None
    axes: str | None = None


@dataclass(frozen=True)
class ImageQuestions:
    """What there is to choose. `scenes` are names, `axes` the readings (letters, words) that an array allows."""

    mapping: ChannelMapping | None = None
    scenes: tuple[str, ...] = ()
    scene: str = ""
    axes: tuple[tuple[str, str], ...] = ()


class ImageOptionsEditor(QWidget):
    """A row for each thing that can be chosen, and no room at all where nothing can.

    `sceneChosen` (with a name) asks for another image of the same file; `pixelSizeRequested` for a dialog.
    """

    valueChanged = Signal(object)
    sceneChosen = Signal(str)
    pixelSizeRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value = ImageSetting()
        self._questions = ImageQuestions()
        self._channels: list[QComboBox] = []
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 2)
        self._grid.setHorizontalSpacing(8)
        self._grid.setVerticalSpacing(3)
        self._grid.setColumnStretch(1, 1)
        self._show()

    def value(self) -> ImageSetting:
        return self._value

    def setValue(self, value: ImageSetting) -> None:
        if value == self._value:
            return
        self._value = value
        self._show()
        self.valueChanged.emit(value)

    def questions(self) -> ImageQuestions:
        return self._questions

    def setQuestions(self, questions: ImageQuestions) -> None:
        """What can be chosen now; what was chosen is `setValue`'s."""
        if questions != self._questions:
            self._questions = questions
            self._show()

    def _show(self) -> None:
        self._clear()
        asked, row = self._questions, 0
        if len(asked.scenes) > 1:
            row = self._row(row, "Scene", _combo("Scene", asked.scenes, asked.scenes, asked.scene, self._pick_scene))
        if asked.axes:
            letters, words = [""] + [one for one, _ in asked.axes], [NOT_CHOSEN] + [text for _, text in asked.axes]
            row = self._row(row, "Axes", _combo("Axes", words, letters, self._value.axes or "", self._pick_axes))
        if asked.mapping is not None:
            row = self._ask_channels(row, asked.mapping)
        if self._value.pixel_size is not None:
            change = QPushButton("Change…")
            change.setToolTip("Say another pixel size for this image")
            change.clicked.connect(self.pixelSizeRequested)
            self._grid.addWidget(_hint("Pixel size"), row, 0)
            self._grid.addWidget(PlainLabel(f"{self._value.pixel_size:g} µm (said by you)"), row, 1)
            self._grid.addWidget(change, row, 2)
            row += 1
        self.setVisible(row > 0)

    def _ask_channels(self, row: int, mapping: ChannelMapping) -> int:
        chosen = self._value.channels or mapping.chosen
        for k, name in enumerate(mapping.wanted):
            number = chosen[k] if k < len(chosen) else None
            names = [NOT_CHOSEN, *mapping.there]
            numbers = ["", *map(str, range(len(mapping.there)))]
            what = f"Image channel for {name}"
            combo = _combo(what, names, numbers, "" if number is None else str(number), self._pick_channels)
            combo.setToolTip(
                f"Which channel of the image is the network's '{name}'"
                + (" (matched by name)" if mapping.by_name else "")
            )
            self._channels.append(combo)
            row = self._row(row, f"{name} ←", combo)
        return row

    def _row(self, row: int, name: str, editor: QWidget) -> int:
        self._grid.addWidget(_hint(name), row, 0)
        self._grid.addWidget(editor, row, 1, 1, 2)
        return row + 1

    def _clear(self) -> None:
        self._channels = []
        while (item := self._grid.takeAt(0)) is not None:
            if (widget := item.widget()) is not None:
                widget.setVisible(False)
                widget.setParent(None)
                widget.deleteLater()

    def _pick_scene(self, name: str) -> None:
        if name and name != self._questions.scene:
            self.sceneChosen.emit(name)

    def _pick_axes(self, letters: str) -> None:
        self._take(replace(self._value, axes=letters or None))

    def _pick_channels(self, _number: str) -> None:
        numbers = (str(combo.currentData()) for combo in self._channels)
        self._take(replace(self._value, channels=tuple(int(n) if n else None for n in numbers)))

    def _take(self, value: ImageSetting) -> None:
        """From the editors themselves, which show it already."""
        if value != self._value:
            self._value = value
            self.valueChanged.emit(value)


def _hint(text: str) -> PlainLabel:
    label = PlainLabel(text)
    label.setObjectName("hint")
    return label


def _combo(what: str, names: Sequence[str], values: Sequence[str], chosen: str, picked: object) -> QComboBox:
    combo = NameList(what)
    for name, value in zip(names, values, strict=True):
        combo.addItem(name, value)
    combo.setCurrentIndex(max(combo.findData(chosen), 0))
    combo.activated.connect(lambda _index: picked(str(combo.currentData())))  # type: ignore[operator]
    return combo
