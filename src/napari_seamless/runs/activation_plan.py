"""What lies between two passes of a run, and where: on the device, in host memory or on disk."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import psutil
import torch

from napari_seamless.errors import BadRequest
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.saved_activations import (
    ActivationPlan,
    DeviceSpeed,
    StorageTier,
    Tier,
    plan_saved_activations,
)
from napari_seamless.runs.option_groups import Keep, MemoryOptions
from napari_seamless.runtime.engine import default_budget
from napari_seamless.runtime.engine.device import free_bytes
from napari_seamless.runtime.planning import readable

SPEEDS = {
    "cpu": DeviceSpeed(macs=3e10, memory=5e9),
    "cuda": DeviceSpeed(macs=2e13, memory=1.5e12),
    "mps": DeviceSpeed(macs=2e12, memory=1e11),
    "xpu": DeviceSpeed(macs=5e12, memory=3e11),
}
"""Rough figures; they only have to tell cheap from dear. A CPU's is for one thread."""

HOST_RATE, DISK_RATE = 1e10, 6e8
HOST_SHARE, DISK_SHARE = 0.4, 0.8


def plan_activations(
    program: Program,
    device: torch.device,
    memory: MemoryOptions,
    *,
    scratch: Path | None = None,
    is_remote: bool = False,
    given: Mapping[int, State] | None = None,
) -> ActivationPlan:
    """What a run keeps between its passes, and where, by predicted cost.

    At most half of the budget is used for kept values on the device, 40 % of what is free in host memory, and 80 % of
    what is free on the disk of `scratch`. Workers in other processes (`is_remote`) share nothing but the disk, which is
    used only if asked for, since they might run on other machines. What is asked for by name may take all that is free.
    Barriers in `given` are measured already.

    Raises BadRequest where what is asked for has no room.
    """
    keep = memory.keep
    if is_remote and keep in ("device", "host"):
        raise BadRequest(
            f"workers in other processes cannot reach values kept in memory; got keep={keep!r} "
            f"(--keep {keep}); use disk or recompute"
        )
    folder = scratch or Path(tempfile.gettempdir())
    free = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free
    speed = _speed(device)
    tiers = _tiers(keep, _storage(memory, device, speed, free), is_remote, device.type == "cpu")
    plan = plan_saved_activations(program, tiers, speed, given or {})
    if keep != "auto" and keep != "recompute":
        room = {"device": memory.budget or free_bytes(device), "host": psutil.virtual_memory().available, "disk": free}
        _check_room(plan, keep, room[keep], folder)
    return plan


def _speed(device: torch.device) -> DeviceSpeed:
    speed = SPEEDS[device.type]
    if device.type != "cpu":
        return speed
    threads = torch.get_num_threads()
    return DeviceSpeed(speed.macs * threads, speed.memory * threads)


def _storage(memory: MemoryOptions, device: torch.device, speed: DeviceSpeed, free: int) -> dict[str, StorageTier]:
    """Every tier with the share of it that may be taken."""
    itemsize = 2 if memory.keep_half else None
    budget = memory.budget or default_budget(device)
    return {
        "device": StorageTier("device", budget // 2, speed.memory, itemsize),
        "host": StorageTier("host", int(psutil.virtual_memory().available * HOST_SHARE), HOST_RATE, itemsize),
        "disk": StorageTier("disk", int(free * DISK_SHARE), DISK_RATE, itemsize),
    }


def _tiers(keep: Keep, storage: Mapping[str, StorageTier], is_remote: bool, is_cpu: bool) -> list[StorageTier]:
    """Those that may be used, the quickest first."""
    match keep:
        case "auto":
            names = [] if is_remote else ["device", "disk"] if is_cpu else ["device", "host", "disk"]
            return [storage[name] for name in names]
        case "recompute":
            return []
        case _:
            asked = storage[keep]
            return [StorageTier(asked.tier, 1 << 62, 1e15, asked.itemsize)]


def _check_room(plan: ActivationPlan, tier: Tier, room: int, folder: Path) -> None:
    needed = plan.most.get(tier, 0)
    if needed > room:
        where = {"device": "in the budget", "host": "in the host's memory", "disk": f"on the disk of {folder}"}[tier]
        raise BadRequest(
            f"kept values must fit {where}; they need {readable(needed)}, and there is room for {readable(room)}; keep "
            "them elsewhere, or use keep='auto' (--keep auto) or 'recompute'"
        )
