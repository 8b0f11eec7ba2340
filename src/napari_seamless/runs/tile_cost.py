"""What a tile costs, and what memory the device has: the figures beside a budget."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from napari_seamless.program.analysis import halo, redundancy
from napari_seamless.program.passes import count_passes
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.runs.prepare import Prepared
from napari_seamless.runtime.engine import resolve_device


@dataclass(frozen=True)
class TileCost:
    """A tile of edge `tile` (output pixels): the most input pixels that it reads beyond its own on any side, its
    multiply-adds as a multiple of those of the whole image, and how often the run goes over the tiles."""

    tile: int
    halo: int
    redundancy: float
    passes: int


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a device: what could be had now, what it has, and what this process holds there (torch's own count on
    CUDA, all that is resident on a CPU)."""

    device: str
    free: int
    total: int
    used: int


def cost_of(prepared: Prepared, tile: int) -> TileCost | None:
    """What tiles of this edge cost; None for a network that is run on overlapping tiles. Up to a second; any thread."""
    if prepared.approximation is not None:
        return None
    last, shape = prepared.last_pass, prepared.output_shape
    edges = (*shape[:-2], *(min(tile, n) for n in shape[-2:]))
    sides = (halo(last, axis, edges[axis]) for axis in range(last.ndim))
    _, times = redundancy(RegionPrograms(last), edges)
    return TileCost(tile, max(max(pair) for pair in sides), times, count_passes(prepared.program))


def begin_measuring(device: torch.device) -> None:
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
