"""Plain options as a form, made by magicgui from the fields of a config: an option more is a name more."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import Field
from typing import Any

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFormLayout, QSizePolicy, QWidget

from napari_seamless._napari.widgets.combo import LEAST_LETTERS
from napari_seamless.runs.option import option_of

Words = Mapping[str, Mapping[str, str]]


class OptionsForm(QWidget):
    """A row for each field that carries an `Option`. The value is a dictionary of what differs from the defaults.

    `words` says, by the name of an option, how its choices are called in the window; a choice without words is itself.
    """

    valueChanged = Signal(object)

    def __init__(self, options: Sequence[Field[Any]], words: Words, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._options = {of.name: of for of in options}
        self._editors: dict[str, ValueWidget[Any]] = {of.name: _editor(of, words.get(of.name, {})) for of in options}
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        for name, editor in self._editors.items():
            form.addRow(_label(name), _native(editor, option_of(self._options[name]).help))
            editor.changed.connect(self._edited)

    def value(self) -> dict[str, Hashable]:
        """The options that were changed, by name."""
        chosen = {name: editor.value for name, editor in self._editors.items()}
        return {name: value for name, value in chosen.items() if value != self._options[name].default}

    def setValue(self, value: Mapping[str, Hashable]) -> None:
        """Options that are not named get their defaults; names without a row are refused with a KeyError."""
        unknown = sorted(value.keys() - self._editors.keys())
        if unknown:
            raise KeyError(unknown[0])
        if dict(value) == self.value():
            return
        for name, editor in self._editors.items():
            with editor.changed.blocked():
                editor.value = value.get(name, self._options[name].default)
        self.valueChanged.emit(self.value())

    def _edited(self, _value: object) -> None:
        self.valueChanged.emit(self.value())


def _editor(of: Field[Any], words: Mapping[str, str]) -> ValueWidget[Any]:
    option = option_of(of)
    choices = {"choices": [(words.get(choice, choice), choice) for choice in option.choices]} if option.choices else {}
    made = create_widget(
        value=of.default,
        annotation=option.kind,
        name=of.name,
        options={**choices, "tooltip": option.help},
    )
    editor: ValueWidget[Any] = made  # type: ignore[assignment]
    return editor


def _native(editor: ValueWidget[Any], name: str) -> QWidget:
    """The Qt widget of an editor; a list is as narrow as it must be, as all others in the panel are."""
    native: QWidget = editor.native
    native.setAccessibleName(name)
    if isinstance(native, QComboBox):
        native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        native.setMinimumContentsLength(LEAST_LETTERS)
        native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return native


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()
