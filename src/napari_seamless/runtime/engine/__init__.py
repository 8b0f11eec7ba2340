"""Region programs on a device."""

from napari_seamless.runtime.engine.device import default_budget, free_bytes, resolve_device
from napari_seamless.runtime.engine.torch_engine import TorchEngine

__all__ = ["TorchEngine", "default_budget", "free_bytes", "resolve_device"]
