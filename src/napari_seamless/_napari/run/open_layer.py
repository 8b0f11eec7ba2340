"""A file as a layer that is ready to be added."""

from __future__ import annotations

from pathlib import Path

from napari_seamless._napari.backend import Backend
from napari_seamless._napari.layers.live_layers import LayerTuple, source_layer
from napari_seamless._napari.layers.readings import ORIGIN


def open_layer(backend: Backend, path: str | Path, scene: str | None = None) -> LayerTuple:
    """In the background: reads the coarsest level. An image of several in a file bears its own name, too.

    Raises what `open_image` raises.
    """
    source = backend.open_image(path, scene=scene)
    data, settings, kind = source_layer(source)
    name = f"{settings['name']}: {source.info.scene}" if source.info.scene else settings["name"]
    return data, {**settings, "name": name, "metadata": {**settings["metadata"], ORIGIN: str(path)}}, kind
