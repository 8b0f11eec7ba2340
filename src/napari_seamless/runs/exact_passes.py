"""The passes of an exact run: what each of them measures, and what the last one makes the output from."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from napari_seamless.geometry import Grid, Region
from napari_seamless.interfaces import SourceRead
from napari_seamless.program.analysis import inner_tile
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.passes import Pass, barriers_of, plan_passes, settle
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import ActivationPlan
from napari_seamless.runs.measured import facts_of
from napari_seamless.runs.moments import Moments
from napari_seamless.runs.statistics import WHOLE, StatisticsDomain
from napari_seamless.runs.traced import TracedNetwork
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.activation_store import ActivationStore
from napari_seamless.runtime.engine.moments import MomentsSink
from napari_seamless.runtime.engine.oom_retry import OutOfMemoryRetry
from napari_seamless.runtime.executor.job import TileJob
from napari_seamless.runtime.executor.tile_queue import ViewFirstQueue
from napari_seamless.runtime.planning import TileChoice, view_first
from napari_seamless.store.disk_scratch import DiskScratch, sweep

SMALLEST = 8


@dataclass(frozen=True)
class PassSettings:
    """Where and how passes are computed. `choice` is the run's own tile; passes over coarser grids use smaller ones, of
    about the same image pixels, and none is predicted to take more than its budget. `half` rounds what is kept to
    float16; what is kept on disk lies in a new folder of `scratch` (None: that for temporary files)."""

    device: torch.device
    choice: TileChoice
    domain: StatisticsDomain = WHOLE
    half: bool = False
    scratch: Path | None = None
    tf32: bool = False

    @property
    def scratch_parent(self) -> Path:
        return self.scratch or Path(tempfile.gettempdir())


@dataclass
class ExactPasses:
    """Implements `prepared.Passes`: the passes of one run, and what they have found so far.

    `states` are, by value of the program, the barriers measured before, of what `reads` say. `save` is called after
    each pass with everything measured so far, and what it was measured of. Driving thread, once the run is started.
    """

    network: TracedNetwork
    activations: ActivationPlan
    settings: PassSettings
    states: dict[int, State] = field(default_factory=dict)
    save: Callable[[Moments, Sequence[SourceRead]], None] = lambda _moments, _reads: None
    reads: list[SourceRead] = field(default_factory=list)
    is_exact = True

    def __post_init__(self) -> None:
        program, mask = self.network.program, self.settings.domain.mask
        seen = None if mask is None else torch.from_numpy(np.ascontiguousarray(mask))
        self.passes = plan_passes(program, self.activations.after, self.states, seen)
        self._known: dict[int, Tensor] = settle(program, self.states, {})
        dtype = torch.float16 if self.settings.half else None
        self._saved = ActivationStore(program, self.device, self.activations.where, None, dtype)
        self._output_engine: TorchEngine | None = None
        if self._needed:
            sweep(self.settings.scratch_parent)

    @property
    def device(self) -> torch.device:
        return self.settings.device

    @cached_property
    def _needed(self) -> frozenset[int]:
        """The values of all barriers."""
        return frozenset(node.output for node in barriers_of(self.network.program))

    @property
    def moments(self) -> Moments | None:
        """What has been measured so far; None where nothing was."""
        if not self.states:
            return None
        return Moments.of(self.network.program, self.states, facts_of(self.network, self.settings.domain))

    @property
    def notices(self) -> tuple[str, ...]:
        """What the engine of the output did another way than asked for, a sentence each."""
        return () if self._output_engine is None else self._output_engine.notices

    def mismatch(self, region: Region) -> None:
        """Tiles of an exact result do not differ where they meet; nothing is computed."""
        del region

    @property
    def is_measured(self) -> bool:
        """Whether all moments are known, so that the output can be made."""
        return self._needed <= self.states.keys()

    @cached_property
    def preceding(self) -> tuple[MomentsPass, ...]:
        """The passes that measure, as the driver takes them."""
        return tuple(MomentsPass(self, p) for p in self.passes[:-1])

    def engine(self, step: Pass) -> TorchEngine:
        """The engine of a pass whose predecessors are over."""
        return TorchEngine(
            step.with_known(self._known), str(self.device), activations=self._saved, tf32=self.settings.tf32
        )

    def output_engine(self) -> TorchEngine:
        """The engine that makes the output from kept values, or from the image."""
        self._output_engine = self._output_engine or self.engine(self.passes[-1])
        return self._output_engine

    def checking_engine(self) -> TorchEngine:
        """An engine that makes the output in float32 from the image, all moments being known."""
        network = self.network
        if not self.passes[-1].saved and network.reference is None and not self.settings.tf32:
            return self.output_engine()
        program = network.reference or network.program
        whole = plan_passes(program, (), self.states)[-1]
        return TorchEngine(whole.with_known(settle(program, self.states, {})), str(self.device))

    def reserve(self, step: Pass) -> None:
        """Reserve the room of what a pass is to keep on disk."""
        for value in step.saves:
            if self.activations.where[value] == "disk":
                scratch = self._saved.scratch = self._saved.scratch or DiskScratch(self.settings.scratch_parent)
                scratch.create(str(value), self.network.program.values[value].shape, self._saved.disk_dtype(value))

    def take(self, step: Pass, states: Sequence[State]) -> None:
        """A pass is over: finish its barriers, and what follows from them; let go of what nobody needs any more."""
        found = {node.output: state for node, state in zip(step.barriers, states, strict=True)}
        self.states.update(found)
        self._known = settle(self.network.program, found, self._known)
        if self.activations.after:
            before = self.activations.after[step.number - 1] if step.number else frozenset[int]()
            self._saved.drop(before - self.activations.after[step.number])
        if (moments := self.moments) is not None:
            self.save(moments, self.reads)

    def note(self, reads: Sequence[SourceRead]) -> None:
        """What was read for a tile of a pass that measures."""
        self.reads += reads

    def close(self) -> None:
        """Give the kept values' room back, whatever the end was."""
        self._saved.close()

    def tile_of(self, step: Pass) -> int:
        """The tile edge of a pass on its own grid: that of the run, in proportion, and a power of two."""
        out = self.network.output_shape[-1]
        wanted = self.settings.choice.tile * step.shape[-1] / out
        edge = SMALLEST
        while edge * 2 <= wanted * 1.1:
            edge *= 2
        while edge > SMALLEST and self._peak(step, edge) > self.settings.choice.budget:
            edge //= 2
        return edge

    def cell_of(self, step: Pass, edge: int) -> tuple[int, ...]:
        """A tile of a pass, ((z,) y, x): in z as deep as the run's own, in proportion."""
        shape = step.shape
        plane = tuple(min(edge, n) for n in shape[-2:])
        if len(shape) == 2:
            return plane
        deep = self.network.output_shape[0]
        return (max(1, min(round((self.settings.choice.depth or deep) * shape[0] / deep), shape[0])), *plane)

    def _peak(self, step: Pass, edge: int) -> int:
        """Predicted bytes of a pass' tile away from the borders."""
        program = step.program
        placed = RegionPrograms(program).at(inner_tile(step.shape, self.cell_of(step, edge)))
        weights = sum(tensor.numel() * tensor.element_size() for tensor in program.constants.values())
        return weights + placed.region.peak_bytes


class MomentsPass:
    """Implements `interfaces.PrecedingPass`."""

    def __init__(self, passes: ExactPasses, step: Pass) -> None:
        self._passes = passes
        self._pass = step
        edge, shape = passes.tile_of(step), step.shape
        full = passes.cell_of(step, edge)
        self._grid = Grid(shape, full)
        self.queue = ViewFirstQueue(
            self._grid,
            Region.from_shape(shape),
            np.zeros(self._grid.counts, bool),
            view_first,
            edge,
            z=full[0] if len(full) == 3 else None,
        )
        operations = [node.operation for node in step.barriers]
        self._barriers = [op for op in operations if isinstance(op, Barrier)]
        self._sink = MomentsSink(self._barriers, self._grid)

    @property
    def cost(self) -> float:
        """In output pixels of the run that take as long."""
        seconds = self._passes.activations.seconds
        return prod(self._passes.network.output_shape) * seconds[self._pass.number] / max(seconds[-1], 1e-9)

    def begin(self) -> TileJob:
        self._passes.reserve(self._pass)
        network = self._passes.network
        engine = OutOfMemoryRetry(self._passes.engine(self._pass), self._barriers)
        return TileJob(network.source, network.level, engine, self._sink)

    def end(self) -> None:
        self._passes.take(self._pass, self._sink.result())
