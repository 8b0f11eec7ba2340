"""Files dropped onto the dock: networks go to the list of models, all else is opened as an image."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

from napari_seamless.models.loaders.formats import DESCRIPTIONS, SUFFIXES

ZIP = ".zip"
"""Not every zip file is a network."""


def is_model(path: Path) -> bool:
    """Whether a file or folder is a network and no image, by its name or by the description in it."""
    if path.name in DESCRIPTIONS or path.suffix.lower() in {*SUFFIXES} - {ZIP}:
        return True
    if path.is_dir():
        return any((path / name).is_file() for name in DESCRIPTIONS)
    if path.suffix.lower() != ZIP or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(Path(name).name in DESCRIPTIONS for name in archive.namelist())


class FileDrop(QObject):
    """Watches a widget for files that are dropped on it."""

    def __init__(self, widget: QWidget, model: Callable[[str], None], image: Callable[[str], None]) -> None:
        super().__init__(widget)
        self._model, self._image = model, image
        widget.setAcceptDrops(True)
        widget.installEventFilter(self)

    def eventFilter(self, _watched: QObject | None, event: QEvent | None) -> bool:
        if isinstance(event, QDropEvent) and event.type() in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            paths = _paths(event.mimeData())
            if paths:
                event.acceptProposedAction()
                if event.type() == QEvent.Type.Drop:
                    self.take(paths)
                return True
        return False

    def take(self, paths: list[Path]) -> None:
        """Does with each file what it is good for."""
        for path in paths:
            if is_model(path):
                self._model(str(path.parent if path.name in DESCRIPTIONS else path))
            else:
                self._image(str(path))


def _paths(data: QMimeData | None) -> list[Path]:
    urls = [] if data is None or not data.hasUrls() else data.urls()
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]
