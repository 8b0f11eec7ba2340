"""Plain options as a form, made by magicgui from the fields of a config: an option more is a row more."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import Field
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFormLayout, QVBoxLayout, QWidget

from napari_seamless._napari.widgets.fold import Fold
from napari_seamless._napari.widgets.option_row import OptionRow
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless._napari.widgets.status_label import StatusLabel, StatusMessage
from napari_seamless.errors import BadRequest

Words = Mapping[str, Mapping[str, str]]


class OptionsForm(QWidget):
    """A row for each field that carries an `Option`. The value is a dictionary of what differs from the defaults.

    `words` says, by the name of an option, how its choices are called in the window; a choice without words is itself.
    Options that are not among the `first` (all are, where none is named) are folded away.
    """

    valueChanged = Signal(object)

    def __init__(
        self,
        options: Sequence[Field[Any]],
        words: Words,
        first: Collection[str] = (),
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._defaults = {of.name: of.default for of in options}
        self._rows = {of.name: OptionRow(of, words.get(of.name, {}), self._edited) for of in options}
        self._told: dict[str, Any] = {}
        self.problem = StatusLabel()
        self._folded = {name for name in self._rows if first and name not in first}
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addWidget(self._form([name for name in self._rows if name not in self._folded]))
        more = self._form([name for name in self._rows if name in self._folded])
        self.fold = Fold("More options", more)
        self.fold.setHidden(not self._folded)
        for widget in (self.fold, more, self.problem):
            column.addWidget(widget)

    def value(self) -> dict[str, Any]:
        """The options that were changed, by name. Raises BadRequest for what is typed and is none."""
        chosen = {name: row.value() for name, row in self._rows.items()}
        return {name: value for name, value in chosen.items() if value != self._defaults[name]}

    def valid(self) -> dict[str, Any]:
        """The same as last told: what is typed and is no value is left as it was before."""
        return self._told

    def setValue(self, value: Mapping[str, Hashable]) -> None:
        """Options that are not named get their defaults; names without a row are refused with a KeyError."""
        unknown = sorted(value.keys() - self._rows.keys())
        if unknown:
            raise KeyError(unknown[0])
        for name, row in self._rows.items():
            row.setValue(value.get(name, self._defaults[name]))
        self._edited()

    def tell(self, refusal: BadRequest) -> None:
        """Says under the rows why something cannot be; until something is changed."""
        self.problem.setValue(StatusMessage(f"{refusal.in_window[:1].upper()}{refusal.in_window[1:]}.", "caution"))

    def _edited(self) -> None:
        """Tells what has changed; of what is no value, why."""
        try:
            value = self.value()
        except BadRequest as refusal:
            self.tell(refusal)
            return
        self.problem.setValue(None)
        if value != self._told:
            self._told = value
            self.fold.tell(len(value.keys() & self._folded))
            self.valueChanged.emit(value)

    def _form(self, names: Sequence[str]) -> QWidget:
        made = QWidget()
        form = QFormLayout(made)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(4)
        for name in names:
            row = self._rows[name]
            label = PlainLabel(row.label)
            label.setToolTip(row.help)
            form.addRow(label, row.native)
        return made
