"""What was made of an image stays over it, wherever the image's layer is moved, turned or scaled to. GUI thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np
from numpy.typing import NDArray

from napari_seamless._napari.layers.axes import Axes
from napari_seamless._napari.layers.live_layers import placed_over

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

FOLLOWS = "napari-seamless follows"
"""In a layer's metadata: what keeps it over the layer that it was made of."""
MOVES = ("scale", "translate", "rotate", "shear", "affine", "units")


class Following:
    """Moves layers as their `source` moves. It lives in the metadata of the layers, and ends with them."""

    def __init__(
        self,
        source: Image | Labels,
        layers: Sequence[Layer],
        scale: Sequence[float],
        offset: Sequence[float],
        axes: Axes,
    ) -> None:
        self._source, self._layers = ref(source), [ref(layer) for layer in layers]
        self._scale, self._offset, self._axes = tuple(scale), tuple(offset), axes
        self._at_first = _world(source)
        for name in MOVES:
            getattr(source.events, name).connect(self._follow)
        for layer in layers:
            layer.metadata[FOLLOWS] = self

    @property
    def is_moved(self) -> bool:
        """Whether the source lies elsewhere than when the layers were put over it."""
        source = self._source()
        return source is not None and not np.allclose(_world(source), self._at_first, rtol=1e-9, atol=1e-9)

    def _follow(self, _event: object = None) -> None:
        source = self._source()
        if source is None:
            return
        placed = placed_over(source, self._scale, self._offset, self._axes)
        for layer in (found for one in self._layers if (found := one()) is not None):
            for name, value in placed.items():
                # napari draws a layer anew whenever it is told where it lies
                if name == "units" or not np.array_equal(np.asarray(getattr(layer, name)), np.asarray(value)):
                    setattr(layer, name, value)


def follow(
    source: Image | Labels, layers: Sequence[Layer], scale: Sequence[float], offset: Sequence[float], axes: Axes = ()
) -> None:
    """Keeps layers over a source from now on, as `placed_over` puts them there."""
    Following(source, layers, scale, offset, axes)


def is_moved(metadata: Mapping[str, Any]) -> bool:
    """Whether the layer under a result, by the result's metadata, was moved since the two were put together."""
    found = metadata.get(FOLLOWS)
    return isinstance(found, Following) and found.is_moved


def _world(layer: Layer) -> NDArray[np.float64]:
    """Where the first pixel and its neighbours along each axis lie."""
    points = np.vstack([np.zeros(layer.ndim), np.eye(layer.ndim)])
    return np.array([layer.data_to_world(tuple(point)) for point in points])
