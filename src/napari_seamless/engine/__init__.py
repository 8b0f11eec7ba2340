"""Region programs on a device."""

from napari_seamless.engine.device import default_budget, free_bytes, resolve_device
from napari_seamless.engine.torch_engine import TorchEngine

__all__ = ["TorchEngine", "default_budget", "free_bytes", "resolve_device"]
