"""A file as a layer that is ready to be added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.background import BackgroundJob, BackgroundJobs
from napari_seamless._napari.layers.readings import ORIGIN, SAID
from napari_seamless._napari.layers.source_layer import LayerTuple, source_layer
from napari_seamless.runs.option_groups import ImageOptions


def open_layer(backend: Backend, path: str | Path, options: ImageOptions) -> LayerTuple:
    """In the background: reads the coarsest level. An image of several in a file bears its own name, too.

    Of the options, `scene`, `axes` and `plane` say what is opened. Raises what `open_image` raises.
    """
    source = backend.open_image(path, scene=options.scene, axes=options.axes, plane=options.plane)
    data, settings, kind = source_layer(source)
    name = f"{settings['name']}: {source.info.scene}" if source.info.scene else settings["name"]
    said = {SAID: {"axes": options.axes}} if options.axes else {}
    return data, {**settings, "name": name, "metadata": {**settings["metadata"], ORIGIN: str(path), **said}}, kind


class ImageOpener:
    """Opens one file at a time; one that is still being opened is forgotten. GUI thread.

    `opened` is called with the layer, `refused` with what opening raised, and `describe` with what goes on.
    """

    def __init__(
        self,
        backend: Backend,
        jobs: BackgroundJobs,
        opened: Callable[[LayerTuple], object],
        refused: Callable[[BaseException], object],
        describe: Callable[[str], object],
    ) -> None:
        self._backend, self._jobs = backend, jobs
        self._opened, self._refused, self._describe = opened, refused, describe
        self._job: BackgroundJob[LayerTuple] | None = None

    def open(self, path: str | Path, options: ImageOptions) -> None:
        self._describe(f"Opening {Path(path).name}…")
        if self._job is not None:
            self._job.cancel()
        self._job = self._jobs.begin(
            lambda _stop: open_layer(self._backend, path, options), self._opened, self._fail, lane="open"
        )

    def _fail(self, error: BaseException) -> None:
        self._describe("")
        self._refused(error)
