"""Names come from files of strangers, so that nothing in the window takes them for HTML."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QWidget

import napari_seamless._napari
from napari_seamless._napari.widgets.dialogs.details import DetailsDialog
from napari_seamless._napari.widgets.dialogs.pixel_size import PixelSizeDialog
from napari_seamless._napari.widgets.plain_label import PlainLabel
from napari_seamless._napari.widgets.status_label import StatusLabel

MARKUP = '<img src="file:///etc/passwd"> <b>cells</b>'

pytestmark = pytest.mark.gui


def test_a_label_shows_tags_as_they_are(qtbot: object) -> None:
    label = PlainLabel(MARKUP)
    assert label.textFormat() == Qt.TextFormat.PlainText
    assert label.text() == MARKUP
    assert label.sizeHint().width() > PlainLabel("cells").sizeHint().width() * 3


@pytest.mark.parametrize(
    "make",
    [lambda: DetailsDialog(MARKUP, MARKUP, None), lambda: PixelSizeDialog(MARKUP, MARKUP), StatusLabel],
    ids=["details", "pixel size", "status"],
)
def test_dialogs_show_names_as_they_are(make: object, qtbot: object) -> None:
    widget: QWidget = make()  # type: ignore[operator]
    qtbot.addWidget(widget)  # type: ignore[attr-defined]
    own = [widget] if isinstance(widget, QLabel) else []
    labels = [*own, *widget.findChildren(QLabel)]
    assert labels
    assert {label.textFormat() for label in labels} == {Qt.TextFormat.PlainText}


def test_no_label_is_made_that_would_take_a_name_for_html() -> None:
    folder = Path(napari_seamless._napari.__file__).parent
    found = [
        f"{path.name}:{node.lineno}"
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("QLabel", "QMessageBox", "setHtml"))
    ]
    assert found == []
