"""Opening a file in the background, as a layer that is ready to be added."""

from __future__ import annotations

from pathlib import Path

from napari_seamless._napari.background import Background, Task
from napari_seamless._napari.layers.live_layers import LayerTuple, source_layer
from napari_seamless._napari.layers.readings import ORIGIN
from napari_seamless._napari.run.backend import Backend


class ImageOpener:
    """One file at a time. GUI thread; the reading itself goes on in another one."""

    def __init__(self, pipeline: Backend) -> None:
        self._pipeline = pipeline
        self._background = Background(threads=1)
        self._task: Task[LayerTuple] | None = None

    def begin(self, path: str | Path, scene: str | None = None) -> None:
        """Starts to open a file, or an image of it; one that is still being opened is forgotten."""
        if self._task is not None:
            self._task.cancel()
        self._task = self._background.begin(lambda _stop: self._open(path, scene))

    def poll(self) -> LayerTuple | BaseException | None:
        """The layer or the error, once, when there is one."""
        if self._task is None or not self._task.is_done:
            return None
        task, self._task = self._task, None
        return task.outcome()

    def close(self) -> None:
        self._background.close()

    def _open(self, path: str | Path, scene: str | None) -> LayerTuple:
        """In the background. An image of several in a file bears its own name, too."""
        source = self._pipeline.open_image(path, scene=scene)
        data, settings, kind = source_layer(source)
        name = f"{settings['name']}: {source.info.scene}" if source.info.scene else settings["name"]
        return data, {**settings, "name": name, "metadata": {**settings["metadata"], ORIGIN: str(path)}}, kind
