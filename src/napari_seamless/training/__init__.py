"""Training on images that do not fit: each module is one published method, imported by its own name."""

from napari_seamless.training.streaming.streamed_module import StreamedGradient

__all__ = ["StreamedGradient"]
