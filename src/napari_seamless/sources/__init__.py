"""A region of an image as an array, wherever the image lives."""

from napari_seamless.sources.opening import open_image
from napari_seamless.sources.samples import MirrorTiled, sample_slide

__all__ = ["MirrorTiled", "open_image", "sample_slide"]
