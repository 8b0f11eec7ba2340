"""Weights do not say what network they are of: this asks, until they fit."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qtpy.QtCore import QStringListModel, Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QCompleter,
    QDialog,
    QDialogButtonBox,
    QFormLayout,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_seamless._napari.widgets.dialogs.arguments import ArgumentsForm, parsed
from napari_seamless._napari.widgets.plain_label import PlainLabel

NAMED = 'A name such as "unet" or "monai:BasicUNet", or where the code is: package.module:factory'


@dataclass(frozen=True)
class ArchitectureWish:
    """What to try: the architecture, its keyword arguments as JSON, and whether to keep the model when it loads."""

    architecture: str
    arguments: str = "{}"
    keep: bool = False


class ArchitectureDialog(QDialog):
    """`tried` asks whoever opened this to load the weights so. They answer with `show_refusal`, or with `accept`.

    `architectureNamed` tells that a name stands complete, so that its parameters can be looked up (`setParameters`).
    """

    tried = Signal(object)
    architectureNamed = Signal(str)

    def __init__(self, file: str, names: Sequence[str] = (), parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setWindowTitle("Which network are these weights of?")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._names = QStringListModel(list(names))
        self.told = PlainLabel(f"{file} holds weights, and does not say of which network. Name it; nothing is guessed.")
        self.told.setWordWrap(True)
        self.architecture = QLineEdit()
        self.architecture.setPlaceholderText("unet, monai:BasicUNet, package.module:factory…")
        self.architecture.setToolTip(NAMED)
        self.architecture.setAccessibleName("Architecture")
        completer = QCompleter(self._names, self)
        completer.setCaseSensitivity(Qt.CaseSensitivity.CaseInsensitive)
        completer.setFilterMode(Qt.MatchFlag.MatchContains)
        self.architecture.setCompleter(completer)
        self.form = ArgumentsForm()
        self.arguments = QLineEdit("{}")
        self.arguments.setToolTip("The same as JSON; what is typed or pasted here goes into the form")
        self.arguments.setAccessibleName("Arguments as JSON")
        self.keep = QCheckBox("Keep in my models")
        self.keep.setToolTip("Writes a recipe with these weights to your own models, so that this is asked once only")
        self.refusal = QPlainTextEdit()
        self.refusal.setObjectName("refusal")
        self.refusal.setReadOnly(True)
        self.refusal.setFixedHeight(132)
        self.refusal.setVisible(False)
        self.refusal.setAccessibleName("Why it does not fit")
        self.buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Cancel)
        self.load = self.buttons.addButton("Load", QDialogButtonBox.ButtonRole.AcceptRole)
        self._lay_out()
        self._connect(completer)
        self._edited()

    def setNames(self, names: Sequence[str]) -> None:
        """What can be completed to."""
        self._names.setStringList(list(names))

    def setParameters(self, architecture: str, parameters: Sequence[tuple[str, str | None]]) -> None:
        """(name, default as JSON or None where it must be given) of an architecture, if it is still the one named."""
        if architecture == self.architecture.text().strip():
            self.form.setParameters(parameters)
            self.frame.setVisible(bool(parameters))

    def show_refusal(self, sentence: str) -> None:
        """Why the weights did not load; everything can be corrected and tried again."""
        self.refusal.setPlainText(sentence)
        self.refusal.setVisible(bool(sentence))
        self._set_busy(False)

    def show_trying(self) -> None:
        self._set_busy(True)

    def wish(self) -> ArchitectureWish:
        return ArchitectureWish(self.architecture.text().strip(), self.arguments.text().strip(), self.keep.isChecked())

    def _lay_out(self) -> None:
        self.frame = QScrollArea()
        self.frame.setWidget(self.form)
        self.frame.setWidgetResizable(True)
        self.frame.setMinimumHeight(150)
        self.frame.setVisible(False)
        fields = QFormLayout()
        fields.addRow("Architecture", self.architecture)
        fields.addRow("Arguments", self.frame)
        fields.addRow("as JSON", self.arguments)
        column = QVBoxLayout(self)
        column.addWidget(self.told)
        column.addLayout(fields)
        column.addWidget(self.refusal)
        column.addWidget(self.keep)
        column.addWidget(self.buttons)
        self.setMinimumWidth(520)

    def _connect(self, completer: QCompleter) -> None:
        self.architecture.textChanged.connect(self._edited)
        self.architecture.editingFinished.connect(self._named)
        completer.activated.connect(lambda _text: self._named())
        self.arguments.textEdited.connect(self._take_json)
        self.form.valueChanged.connect(self._take_form)
        self.buttons.rejected.connect(self.reject)
        if self.load is not None:
            self.load.setDefault(True)
            self.load.clicked.connect(self._try)

    def _named(self) -> None:
        if name := self.architecture.text().strip():
            self.architectureNamed.emit(name)

    def _edited(self, _text: object = None) -> None:
        self._set_busy(False)

    def _take_json(self, text: str) -> None:
        found = parsed(text)
        if isinstance(found, Mapping):
            self.form.setValue(found)
        self._set_busy(False)

    def _take_form(self, value: Mapping[str, Any]) -> None:
        self.arguments.setText(json.dumps(value))
        self._set_busy(False)

    def _try(self) -> None:
        found = parsed(self.arguments.text())
        if not isinstance(found, Mapping):
            self.show_refusal(f'Arguments are a JSON object such as {{"in_channels": 1}}; {found}')
            return
        self._set_busy(True)
        self.tried.emit(self.wish())

    def _set_busy(self, is_busy: bool) -> None:
        if self.load is not None:
            self.load.setText("Trying…" if is_busy else "Load")
            self.load.setEnabled(not is_busy and bool(self.architecture.text().strip()))
