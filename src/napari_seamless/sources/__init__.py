"""A region of an image as an array, wherever the image lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_seamless.sources.opening import open_image
from napari_seamless.sources.samples import MirrorTiled, open_sample, sample_slide

if TYPE_CHECKING:
    from napari_seamless.sources.tissue import tissue_mask

__all__ = ["MirrorTiled", "open_image", "open_sample", "sample_slide", "tissue_mask"]


def __getattr__(name: str) -> object:
    """`tissue_mask` is loaded when it is used, since scikit-image is slow to load."""
    if name != "tissue_mask":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from napari_seamless.sources.tissue import tissue_mask

    return tissue_mask
