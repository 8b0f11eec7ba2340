"""A region of an image as an array, wherever the image lives."""

from napari_seamless.io.readers.opener import open_image
from napari_seamless.io.readers.samples import MirrorTiled, open_sample, sample_slide

__all__ = ["MirrorTiled", "open_image", "open_sample", "sample_slide"]
