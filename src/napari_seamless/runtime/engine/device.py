"""Choosing a device and knowing its memory."""

from __future__ import annotations

import psutil
import torch

from napari_seamless.errors import DeviceUnavailable

GIB = 1 << 30


def resolve_device(name: str) -> torch.device:
    """The device for "auto", "cpu", "cuda", "cuda:1", "mps" or "xpu".

    Raises DeviceUnavailable where the machine has none of that kind.
    """
    if name == "auto":
        return torch.device(next((kind for kind in ("cuda", "xpu", "mps") if _available(kind)), "cpu"))
    try:
        device = torch.device(name)
    except RuntimeError:
        raise DeviceUnavailable(f"a device is auto, cpu, cuda, mps or xpu; got {name!r}") from None
    if device.type != "cpu" and not _available(device.type):
        raise DeviceUnavailable(
            f"the device must be there; this machine (or this build of torch) has no {device.type}; use auto or cpu"
        )
    return device


def _available(kind: str) -> bool:
    module = getattr(torch, kind, None) or getattr(torch.backends, kind, None)
    return bool(module is not None and hasattr(module, "is_available") and module.is_available())


def free_bytes(device: torch.device) -> int:
    """Memory that could be had on the device right now, in bytes. For the CPU (and mps) the machine's own."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return int(psutil.virtual_memory().available)


def default_budget(device: torch.device) -> int:
    """What a run may use when nobody says: 80 % of a GPU's free memory, a quarter of the machine's up to 2 GiB."""
    if device.type == "cuda":
        return int(free_bytes(device) * 0.8)
    return min(2 * GIB, free_bytes(device) // 4)
