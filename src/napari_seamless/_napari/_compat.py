"""Every name that napari and vispy keep to themselves and that is used here: nowhere else is one.

Each function stands for a feature. Where a name it needs is gone, or means something else, it raises FeatureMissing,
which names that feature; whoever calls it does without. Checked with napari 0.9 and vispy 0.17. GUI thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.interfaces import Pixels

if TYPE_CHECKING:
    from napari.layers import Image, Labels, Layer

PATCHES = "finished tiles appear without a refresh of the whole view"
THUMBNAILS = "thumbnails of a running result are made anew without a refresh"
OUTLINES = "outlines around the tiles in work"

SURPRISES = (AttributeError, KeyError, IndexError, TypeError, ValueError, RuntimeError)
"""What using a private name may raise where it is gone, or means something else."""


class FeatureMissing(RuntimeError):
    """A private name of napari or vispy is gone, and with it a feature, which is named."""


@contextmanager
def _needed_for(feature: str) -> Iterator[None]:
    try:
        yield
    except SURPRISES as error:
        raise FeatureMissing(f"{feature}: not with this napari ({type(error).__name__}: {error})") from error


@dataclass(frozen=True)
class ShownSlice:
    """What napari holds of a layer for the screen: the level's own pixels, and the same as they are drawn."""

    raw: NDArray[Any]
    view: NDArray[Any]


def unwrapped(viewer: Any) -> Any:
    """The viewer behind the proxy that plugins get, which hides private names. The viewer itself where it is none."""
    return getattr(viewer, "__wrapped__", viewer)


def displayed_axes_of(layer: Layer) -> tuple[int, ...]:
    """The axes of a layer that are on the canvas, counted from its last one."""
    with _needed_for(PATCHES):
        return tuple(axis - layer.ndim for axis in layer._slice_input.displayed)


def shown_slice(layer: Image | Labels) -> ShownSlice:
    """The pixels that napari has loaded for the screen; writing to them changes what the status bar says."""
    with _needed_for(PATCHES):
        image = layer._slice.image
        return ShownSlice(image.raw, image.view)


def as_drawn(layer: Labels, pixels: Pixels) -> NDArray[Any]:
    """Labels as they go into the texture."""
    with _needed_for(PATCHES):
        drawn: NDArray[Any] = layer._raw_to_displayed(pixels)
        return drawn


def write_texture(viewer: Any, layer: Layer, shape: Sequence[int], offset: Sequence[int], pixels: NDArray[Any]) -> bool:
    """Puts pixels into a layer's texture, of this shape, at (row, column), and asks for a redraw.

    A texture that is to be uploaded anyway is left as it is. False where it has another shape.
    """
    with _needed_for(PATCHES):
        node = viewer.window._qt_viewer.canvas.layer_to_visual[layer].node
        texture = node._texture
        if not node._need_texture_upload:
            if tuple(texture.shape[:2]) != tuple(shape):
                return False
            texture.scale_and_set_data(np.ascontiguousarray(pixels), offset=tuple(offset), copy=True)
        node.update()
        return True


def update_thumbnail(layer: Layer) -> None:
    """Makes a layer's thumbnail anew from what is loaded."""
    with _needed_for(THUMBNAILS):
        layer._update_thumbnail()


def scene_of(viewer: Any) -> tuple[Any, Any]:
    """(the parent of vispy's nodes on the canvas, the canvas as a Qt widget)."""
    with _needed_for(OUTLINES):
        canvas = viewer.window._qt_viewer.canvas
        return canvas.view.scene, canvas.native
