"""A file as a layer that is ready to be added."""

from __future__ import annotations

from pathlib import Path

from napari_seamless._napari.backend import Backend
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
