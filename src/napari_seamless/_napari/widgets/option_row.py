"""One plain option as an editor, made by magicgui from the field of a config that carries it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import Field
from pathlib import Path
from typing import Any

from magicgui.types import FileDialogMode
from magicgui.widgets import FileEdit, create_widget
from qtpy.QtWidgets import QComboBox, QFileDialog, QLineEdit, QSizePolicy, QWidget

from napari_seamless._napari.widgets.combo import LEAST_LETTERS
from napari_seamless.errors import BadRequest
from napari_seamless.runs.option import option_of

ASK = "\0"
"""Stands in a list for a file that is still to be named."""
MOST = 99
GROUP_FILE = "zarr.json"
"""Stands for the folder that it lies in, where a file dialog lets nobody choose a folder."""


class OptionRow:
    """The editor of one option; `edited` is called when somebody has changed its value.

    `words` say how its choices are called in the window. What is typed is parsed as in a shell. GUI thread.
    """

    def __init__(self, of: Field[Any], words: Mapping[str, str], edited: Callable[[], None]) -> None:
        self.name, self._default, self._option, self._edited = of.name, of.default, option_of(of), edited
        self._words, self._shown = words, str(self._default or "")
        self._editor: Any = self._made()
        self.native: QWidget = self._editor.native
        self._dress()

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").capitalize()

    @property
    def help(self) -> str:
        """What the option does, and what happens without it."""
        return f"{self._option.help}\nWithout: {self._option.without}" if self._option.without else self._option.help

    def value(self) -> Any:
        """Raises BadRequest where what is typed is no value of the option."""
        said = self._editor.value
        if isinstance(said, Path) or said is None:
            return self._default if said is None else said
        if not isinstance(self.native, QLineEdit):
            return said if said != "" else self._default
        text = str(said).strip()
        if not text:
            return self._default
        if self._option.kind is not float:
            return self._option.parse(text)
        try:
            return float(text)
        except ValueError:
            raise BadRequest(f"{self.label.lower()} is a number; got {text!r}; correct it, or leave it empty") from None

    def setValue(self, value: Hashable) -> None:
        """Nobody is told."""
        with self._editor.changed.blocked():
            if isinstance(self.native, QComboBox):
                self._list(value)
            if isinstance(self.native, QLineEdit):
                is_text = isinstance(value, str | Path)
                self._editor.value = "" if value is None else str(value) if is_text else self._option.text(value)
            else:
                self._editor.value = "" if value is None and self._option.choices else value

    def _made(self) -> Any:
        option = self._option
        if option.choices:
            return create_widget(
                value=self._default or "", annotation=str, options={"choices": self._choices(()), "tooltip": self.help}
            )
        if option.kind is Path:
            return FileEdit(mode=FileDialogMode.EXISTING_DIRECTORY, nullable=True, value=None, tooltip=self.help)
        if option.kind is bool:
            return create_widget(value=self._default, annotation=bool, options={"text": "", "tooltip": self.help})
        if option.kind is int and self._default is not None:
            return create_widget(value=self._default, annotation=int, options={"max": MOST, "tooltip": self.help})
        return create_widget(value=self._default or "", annotation=str, options={"tooltip": self.help})

    def _dress(self) -> None:
        """Narrow, named, and connected."""
        native = self.native
        native.setAccessibleName(self.help)
        if isinstance(native, QLineEdit):
            native.setPlaceholderText(self._option.metavar or self._option.without)
            native.editingFinished.connect(self._edited)
            return
        if isinstance(native, QComboBox):
            native.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
            native.setMinimumContentsLength(LEAST_LETTERS)
            native.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        if isinstance(self._editor, FileEdit):
            line: QLineEdit = self._editor.line_edit.native
            line.setPlaceholderText(self._option.without)
            line.setAccessibleName(self.help)
            self._editor.choose_btn.text = "Choose…"
            self._editor.margins = (0, 0, 0, 0)
        self._editor.changed.connect(self._changed)

    def _changed(self, value: object) -> None:
        if value == ASK:
            self._ask_file()
            return
        if isinstance(value, str):
            self._shown = value
        self._edited()

    def _choices(self, more: tuple[str, ...]) -> list[tuple[str, str]]:
        nothing = [] if self._default is not None else [(self._option.without, "")]
        own = [*nothing, *((self._words.get(choice, choice), choice) for choice in self._option.choices)]
        files = [(Path(file).name, file) for file in more]
        return [*own, *files, *([("from a file…", ASK)] if self._option.files else [])]

    def _list(self, value: Hashable) -> None:
        """A file that is chosen stands in the list."""
        self._shown = str(value or "")
        self._editor.choices = self._choices(() if value in (None, *self._option.choices) else (str(value),))

    def _ask_file(self) -> None:
        ends = " ".join(GROUP_FILE if end == ".zarr" else f"*{end}" for end in self._option.files)
        name, _ = QFileDialog.getOpenFileName(self.native, self.label, "", f"{self.label} ({ends})")
        path = Path(name)
        before = self._shown
        self.setValue((before or None) if not name else str(path.parent if path.name == GROUP_FILE else path))
        if name:
            self._edited()
