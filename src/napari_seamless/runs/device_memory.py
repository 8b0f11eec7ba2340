"""What memory the device has, and what was used of it: the figures beside a budget."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from napari_seamless.runtime.engine import resolve_device


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device: what could be had now, what it has, and what this process holds there (torch's own count on
    CUDA, all that is resident on a CPU)."""

    device: str
    free: int
    total: int
    used: int


def reset_peak(device: torch.device) -> None:
    """Forget the most that torch ever held on a CUDA device."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def measured_peak(device: torch.device) -> int | None:
    """The most bytes that torch held in this process on a CUDA device since then; None elsewhere, where it keeps no
    count."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def memory_of(device: str = "auto") -> DeviceMemory:
    """How much memory the device has and holds. Quick, but for the first time on CUDA; any thread."""
    place = resolve_device(device)
    if place.type == "cuda":
        free, total = torch.cuda.mem_get_info(place)
        return DeviceMemory(str(place), free, total, torch.cuda.memory_allocated(place))
    machine = psutil.virtual_memory()
    return DeviceMemory(str(place), int(machine.available), int(machine.total), psutil.Process().memory_info().rss)
