"""Keyword arguments as a form: one line each, a JSON value in it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QLineEdit, QWidget

from napari_seamless._napari.widgets.plain_label import PlainLabel


class ArgumentsForm(QWidget):
    """What is left empty is not given. What is no JSON is taken for text. The value is a dictionary."""

    valueChanged = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._value: dict[str, Any] = {}
        self._lines: dict[str, QLineEdit] = {}
        self._form = QFormLayout(self)
        self._form.setContentsMargins(4, 4, 4, 4)
        self._form.setVerticalSpacing(3)

    @property
    def names(self) -> tuple[str, ...]:
        """The arguments that there are lines for."""
        return tuple(self._lines)

    def value(self) -> dict[str, Any]:
        return dict(self._value)

    def setValue(self, value: Mapping[str, Any]) -> None:
        """Arguments that no line is for are kept, too."""
        if dict(value) == self._value:
            return
        self._value = dict(value)
        for name, line in self._lines.items():
            line.setText(json.dumps(value[name]) if name in value else "")
        self.valueChanged.emit(self.value())

    def setParameters(self, parameters: Sequence[tuple[str, str | None]]) -> None:
        """The lines that there are: (name, default; None where a value must be given)."""
        while self._form.rowCount():
            self._form.removeRow(0)
        self._lines = {}
        for name, default in parameters:
            line = QLineEdit(json.dumps(self._value[name]) if name in self._value else "")
            line.setPlaceholderText("must be given" if default is None else default)
            line.setAccessibleName(name)
            line.textEdited.connect(self._edited)
            self._lines[name] = line
            self._form.addRow(PlainLabel(f"{name} *" if default is None else name), line)

    def _edited(self, _text: str) -> None:
        others = {name: value for name, value in self._value.items() if name not in self._lines}
        given = {name: _value_of(line.text()) for name, line in self._lines.items() if line.text().strip()}
        self._value = {**others, **given}
        self.valueChanged.emit(self.value())


def parsed(text: str) -> dict[str, Any] | str:
    """The dictionary that a line of JSON is, or what is wrong with it."""
    try:
        found = json.loads(text.strip() or "{}")
    except ValueError as error:
        return f"this is none: {error}"
    return found if isinstance(found, dict) else f"this is a {type(found).__name__}"


def _value_of(text: str) -> Any:
    """A JSON value; Python's own spellings of three of them, and plain text, are understood, too."""
    text = text.strip()
    spelled = {"True": True, "False": False, "None": None}
    if text in spelled:
        return spelled[text]
    try:
        return json.loads(text.replace("(", "[").replace(")", "]") if text.startswith("(") else text)
    except ValueError:
        return text
