"""What other threads, and writers, may read of a layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_seamless._napari.layers.live_layers import RESULT

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer


@dataclass(frozen=True)
class LayerPixels:
    """A layer's own pixels and what is known of them, under the names that a layer has."""

    data: Any
    name: str
    multiscale: bool
    scale: tuple[float, ...]
    translate: tuple[float, ...]
    units: tuple[Any, ...]
    rgb: bool | None


def result_of(layer: Layer) -> Any | None:
    """The result behind a layer, if its classes can be named anew."""
    result = layer.metadata.get(RESULT)
    return result if hasattr(result, "set_classes") else None


def told_of(layer: Layer) -> tuple[str, ...]:
    """What the runs that made the result behind a layer told of image, network and device."""
    result = result_of(layer)
    if result is None or not hasattr(result, "provenance"):
        return ()
    from napari_seamless.runs.origin import notices_of

    return notices_of(result)


def readable(layer: Image | Labels) -> Any:
    """What other threads may read of a layer: its result, or its pixels as they are now."""
    result = result_of(layer)
    if result is not None:
        return result
    scale, translate = (tuple(map(float, numbers)) for numbers in (layer.scale, layer.translate))
    rgb = getattr(layer, "rgb", None)
    return LayerPixels(layer.data, layer.name, bool(layer.multiscale), scale, translate, tuple(layer.units), rgb)
