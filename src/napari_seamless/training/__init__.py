"""Learning from images that do not fit into memory."""

from napari_seamless.training.streamed import StreamedGradient

__all__ = ["StreamedGradient"]
