"""The layers of all outputs of a network that one run makes; mostly there is one, without a name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.layers.axes import Axes
from napari_seamless._napari.layers.live_layers import ResultLayers, layers_of
from napari_seamless.interfaces import LiveImage
from napari_seamless.store import JointStore
from napari_seamless.store.several_images import folders_of

if TYPE_CHECKING:
    import napari


def images_of(result: LiveImage) -> Mapping[str, LiveImage]:
    """The images that a result consists of, by the names of the outputs, in their order."""
    return dict(result.images) if isinstance(result, JointStore) else {"": result}


def output_layers(
    viewer: napari.Viewer,
    images: Mapping[str, LiveImage],
    name: str,
    placed: dict[str, Any],
    place: Path,
    keeps: object = None,
    axes: Axes = (),
) -> dict[str, ResultLayers]:
    """Layers of each of the images of a result that lies at `place`, the first one's on top. GUI thread.

    Those that are there already from an earlier run are used again.
    """
    found = {}
    for output, image in reversed(list(images.items())):
        at = place_of_output(place, images, output)
        title = f"{name}, {output}" if output else name
        found[output] = ResultLayers(viewer, image, title, placed, keeps, at, onto=layers_of(viewer, at), axes=axes)
    return {output: found[output] for output in images}


def place_of_output(place: Path, images: Mapping[str, LiveImage], output: str) -> Path:
    """Where on disk an image of a result lies."""
    return place / folders_of(images)[output] if output else place
