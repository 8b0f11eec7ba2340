"""The passes before the last one: how they are planned, and what each of them is for the driver."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Region
from napari_seamless.program.analysis import inner_tile
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.passes import Pass, barriers_of, plan_passes, settle
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import (
    ActivationPlan,
    DeviceSpeed,
    StorageTier,
    Tier,
    plan_saved_activations,
)
from napari_seamless.runs.prepare import Prepared
from napari_seamless.runtime.engine import TorchEngine, default_budget
from napari_seamless.runtime.engine.activation_store import ActivationStore
from napari_seamless.runtime.engine.device import free_bytes
from napari_seamless.runtime.engine.moments import MomentsSink
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning import readable, view_first
from napari_seamless.store.scratch import DiskScratch, sweep

Keep = Literal["auto", "recompute", "device", "host", "disk"]

SPEEDS = {
    "cpu": DeviceSpeed(macs=3e10, memory=5e9),
    "cuda": DeviceSpeed(macs=2e13, memory=1.5e12),
    "mps": DeviceSpeed(macs=2e12, memory=1e11),
    "xpu": DeviceSpeed(macs=5e12, memory=3e11),
}
"""Rough figures; they only have to tell cheap from dear. A CPU's is for one thread."""

HOST_RATE, DISK_RATE = 1e10, 6e8
HOST_SHARE, DISK_SHARE = 0.4, 0.8
SMALLEST = 8


def plan_activations(
    prepared: Prepared,
    device: torch.device,
    *,
    keep: Keep = "auto",
    budget: int | None = None,
    half: bool = False,
    scratch: Path | None = None,
    is_remote: bool = False,
    given: Mapping[int, State] | None = None,
) -> ActivationPlan:
    """What a run keeps between its passes, and where, by predicted cost.

    At most half of the budget is used for kept values on the device, 40 % of what is free in host memory, and 80 % of
    what is free on the disk of `scratch`. Workers in other processes (`is_remote`) share nothing but the disk, which is
    used only if asked for, since they might run on other machines. What is asked for by name may take all that is free.

    Raises BadRequest for an unknown `keep`, and where what is asked for has no room.
    """
    if keep not in get_args(Keep):
        raise BadRequest(f"keep is one of {', '.join(get_args(Keep))}; got {keep!r}")
    if is_remote and keep in ("device", "host"):
        raise BadRequest(
            f"workers in other processes cannot reach values kept in memory; got keep={keep!r} "
            f"(--keep {keep}); use disk or recompute"
        )
    speed = SPEEDS[device.type]
    if device.type == "cpu":
        threads = torch.get_num_threads()
        speed = DeviceSpeed(speed.macs * threads, speed.memory * threads)
    itemsize = 2 if half else None
    folder = scratch or Path(tempfile.gettempdir())
    free = shutil.disk_usage(next(p for p in (folder, *folder.absolute().parents) if p.exists())).free
    everything = {
        "device": StorageTier("device", (budget or default_budget(device)) // 2, speed.memory, itemsize),
        "host": StorageTier("host", int(psutil.virtual_memory().available * HOST_SHARE), HOST_RATE, itemsize),
        "disk": StorageTier("disk", int(free * DISK_SHARE), DISK_RATE, itemsize),
    }
    match keep:
        case "auto":
            places = [] if is_remote else [everything["device"], everything["disk"]]
            if device.type != "cpu" and not is_remote:
                places.insert(1, everything["host"])
        case "recompute":
            places = []
        case _:
            places = [StorageTier(everything[keep].tier, 1 << 62, 1e15, itemsize)]
    keeping = plan_saved_activations(prepared.program, places, speed, given or {})
    if keep != "auto" and keep != "recompute":
        room = {"device": budget or free_bytes(device), "host": psutil.virtual_memory().available, "disk": free}
        _check_room(keeping, keep, room[keep], folder)
    return keeping


def _check_room(keeping: ActivationPlan, tier: Tier, room: int, folder: Path) -> None:
    needed = keeping.most.get(tier, 0)
    if needed > room:
        where = {"device": "in the budget", "host": "in the host's memory", "disk": f"on the disk of {folder}"}[tier]
        raise BadRequest(
            f"kept values must fit {where}; they need {readable(needed)}, and there is room for {readable(room)}; keep "
            "them elsewhere, or use keep='auto' (--keep auto) or 'recompute'"
        )


@dataclass
class ExactPasses:
    """The passes of one run, and what they have found so far. Driving thread, once the run is started.

    `edge` is the run's own tile; passes over coarser grids use smaller ones, of about the same image pixels, and none
    is predicted to take more than `limit` bytes. `save` is called after each pass with all states measured so far.
    `mask`, (y, x), says which part of the image is measured. `reference` is the same network in float32, where it runs
    with fewer digits.
    """

    prepared: Prepared
    device: torch.device
    keeping: ActivationPlan
    edge: int
    depth: int | None
    half: bool = False
    mask: NDArray[np.bool_] | None = None
    scratch_parent: Path | None = None
    states: dict[int, State] = field(default_factory=dict)
    save: Callable[[dict[int, State]], None] = lambda _: None
    limit: int | None = None
    reference: Prepared | None = None
    tf32: bool = False

    def __post_init__(self) -> None:
        program = self.prepared.program
        mask = None if self.mask is None else torch.from_numpy(np.ascontiguousarray(self.mask))
        self.passes = plan_passes(program, self.keeping.after, self.states, mask)
        self._known: dict[int, Tensor] = settle(program, self.states, {})
        self._shelf = ActivationStore(
            program, self.device, self.keeping.where, None, torch.float16 if self.half else None
        )
        self._last: TorchEngine | None = None
        if self._needed:
            sweep(self._scratch_parent)

    @property
    def _scratch_parent(self) -> Path:
        return self.scratch_parent or Path(tempfile.gettempdir())

    @cached_property
    def _needed(self) -> frozenset[int]:
        """The values of all barriers."""
        return frozenset(node.output for node in barriers_of(self.prepared.program))

    @property
    def is_measured(self) -> bool:
        """Whether all moments are known, so that the output can be made."""
        return self._needed <= self.states.keys()

    @cached_property
    def preceding(self) -> tuple[MeasuringPass, ...]:
        """The passes that measure, as the driver takes them."""
        return tuple(MeasuringPass(self, p) for p in self.passes[:-1])

    def engine(self, stage: Pass) -> TorchEngine:
        """The engine of a pass whose predecessors are over."""
        return TorchEngine(stage.with_known(self._known), str(self.device), shelf=self._shelf, tf32=self.tf32)

    def last_engine(self) -> TorchEngine:
        """The engine that makes the output from kept values, or from the image."""
        self._last = self._last or self.engine(self.passes[-1])
        return self._last

    def checking_engine(self) -> TorchEngine:
        """An engine that makes the output in float32 from the image, all moments being known."""
        if not self.passes[-1].kept and self.reference is None and not self.tf32:
            return self.last_engine()
        program = (self.reference or self.prepared).program
        whole = plan_passes(program, (), self.states)[-1]
        return TorchEngine(whole.with_known(settle(program, self.states, {})), str(self.device))

    def prepare_shelf(self, stage: Pass) -> None:
        """Reserve the room of what a pass is to keep on disk."""
        for value in stage.keeps:
            if self.keeping.where[value] == "disk":
                scratch = self._shelf.scratch = self._shelf.scratch or DiskScratch(self._scratch_parent)
                scratch.create(str(value), self.prepared.program.values[value].shape, self._shelf.disk_dtype(value))

    def take(self, stage: Pass, states: Sequence[State]) -> None:
        """A pass is over: finish its barriers, and what follows from them; let go of what nobody needs any more."""
        found = {node.output: state for node, state in zip(stage.barriers, states, strict=True)}
        self.states.update(found)
        self._known = settle(self.prepared.program, found, self._known)
        if self.keeping.after:
            before = self.keeping.after[stage.number - 1] if stage.number else frozenset[int]()
            self._shelf.drop(before - self.keeping.after[stage.number])
        self.save(self.states)

    def close(self) -> None:
        """Give the kept values' room back, whatever the end was."""
        self._shelf.close()

    def tile_of(self, stage: Pass) -> int:
        """The tile edge of a pass on its own grid: that of the run, in proportion, and a power of two."""
        out = self.prepared.output_shape[-1]
        wanted = self.edge * stage.shape[-1] / out
        edge = SMALLEST
        while edge * 2 <= wanted * 1.1:
            edge *= 2
        while edge > SMALLEST and self.limit is not None and self._peak(stage, edge) > self.limit:
            edge //= 2
        return edge

    def cell_of(self, stage: Pass, edge: int) -> tuple[int, ...]:
        """A tile of a pass, ((z,) y, x): in z as deep as the run's own, in proportion."""
        shape = stage.shape
        plane = tuple(min(edge, n) for n in shape[-2:])
        if len(shape) == 2:
            return plane
        deep = self.prepared.output_shape[0]
        return (max(1, min(round((self.depth or deep) * shape[0] / deep), shape[0])), *plane)

    def _peak(self, stage: Pass, edge: int) -> int:
        """Predicted bytes of a pass' tile away from the borders."""
        program = stage.program
        placed = RegionPrograms(program).at(inner_tile(stage.shape, self.cell_of(stage, edge)))
        weights = sum(tensor.numel() * tensor.element_size() for tensor in program.constants.values())
        return weights + placed.region.peak_bytes


class MeasuringPass:
    """Implements `interfaces.PrecedingPass`."""

    def __init__(self, measuring: ExactPasses, stage: Pass) -> None:
        self._measuring = measuring
        self._pass = stage
        edge, shape = measuring.tile_of(stage), stage.shape
        full = measuring.cell_of(stage, edge)
        self._grid = Grid(shape, full)
        self.queue = ViewFirstQueue(
            self._grid,
            Region.from_shape(shape),
            np.zeros(self._grid.counts, bool),
            view_first,
            edge,
            z=full[0] if len(full) == 3 else None,
        )
        operations = [node.operation for node in stage.barriers]
        self._barriers = [op for op in operations if isinstance(op, Barrier)]
        self._sink = MomentsSink(self._barriers, self._grid)

    @property
    def cost(self) -> float:
        """In output pixels of the run that take as long."""
        seconds = self._measuring.keeping.seconds
        return prod(self._measuring.prepared.output_shape) * seconds[self._pass.number] / max(seconds[-1], 1e-9)

    def begin(self) -> TileJob:
        measuring = self._measuring
        measuring.prepare_shelf(self._pass)
        prepared = measuring.prepared
        engine = OutOfMemoryRetry(measuring.engine(self._pass), self._barriers)
        return TileJob(prepared.source, prepared.level, engine, self._sink)

    def end(self) -> None:
        self._measuring.take(self._pass, self._sink.result())
