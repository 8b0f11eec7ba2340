"""How a network is trained on one size of image: its program in passes, and the tiles of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from napari_seamless.errors import InputMismatch, NotTileable
from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.program.derived_constants import DerivedConstant
from napari_seamless.program.divisor import Divisor
from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.barrier import Barrier
from napari_seamless.program.ops.gather import Gather, OwnParts
from napari_seamless.program.passes import Pass, barriers_of, depths, plan_passes, settled
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.saved_activations import DeviceSpeed, StorageTier, plan_saved_activations
from napari_seamless.program.trace import Padded

HOST_RATE = 2e9
"""Bytes a second that go to kept values and come back."""

CPU, ACCELERATOR = DeviceSpeed(macs=3e10, memory=5e9), DeviceSpeed(macs=2e13, memory=1.5e12)
"""Roughly; only what to keep depends on it."""


@dataclass(frozen=True)
class TrainingPass:
    """One pass, forwards (memory is overwritten where it can be) and on the way back (everything stays)."""

    part: Pass
    forwards: RegionPrograms
    backwards: RegionPrograms

    @classmethod
    def of(cls, part: Pass) -> TrainingPass:
        whole = part.program
        last = whole.nodes[-1]
        if isinstance(last.operation, Gather):
            parts = replace(last, operation=OwnParts.of(last.operation))
            whole = replace(whole, nodes=(*whole.nodes[:-1], parts))
        return cls(part, RegionPrograms(part.program), RegionPrograms(whole, overwrites=False))

    def tiles(self, edge: int) -> list[Region]:
        """The regions that are gone over one after the other."""
        grid = Grid(self.part.shape, tuple(min(edge, n) for n in self.part.shape))
        return [grid.region(cell) for cell in cells_of(Region.from_shape(grid.counts))]


@dataclass(frozen=True)
class TrainingPlan:
    """A program traced for training, with barriers that can be taken back. Owns no weights."""

    program: Program
    stages: tuple[TrainingPass, ...] = field(default=())
    edges: dict[Any, tuple[int, ...]] = field(default_factory=dict)
    """The tiles that budgets were found to allow."""

    @classmethod
    def of(cls, program: Program, keep: int = 0, speed: DeviceSpeed = CPU) -> TrainingPlan:
        """`keep` is how many bytes of host memory values kept between passes, and their gradients, may take."""
        nodes = tuple(
            replace(n, operation=n.operation.with_gradients()) if isinstance(n.operation, Barrier) else n
            for n in program.nodes
        )
        learning = replace(program, nodes=nodes)
        places = [StorageTier("host", keep // 2, HOST_RATE)] if keep else []
        kept = plan_saved_activations(learning, places, speed).after if places else ()
        return cls(learning, tuple(TrainingPass.of(part) for part in plan_passes(learning, kept)))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Spatial shape of the output."""
        return self.stages[-1].part.shape

    @property
    def derived(self) -> tuple[DerivedConstant, ...]:
        assert self.program.training is not None
        return self.program.training.derived

    @cached_property
    def depth(self) -> list[int]:
        """For each value the pass in which it is there."""
        return depths(self.program)

    @cached_property
    def settled(self) -> list[Node]:
        """The nodes whose values are known between passes, in order."""
        known = settled(self.program)
        return [node for node in self.program.nodes if node.output in known]

    @cached_property
    def measured(self) -> frozenset[int]:
        """The values of barriers that passes measure."""
        return frozenset(node.output for node in barriers_of(self.program))

    def sensitive(self, constants: Mapping[str, Tensor], *, image: bool) -> frozenset[int]:
        """The values through which gradients flow, to constants that have some or to the image."""
        found = {self.program.input} if image else set()
        for node in self.program.nodes:
            stops = node.operation.stops_gradient
            is_number = self.program.values[node.output].dtype.is_floating_point
            own = any(constants[name].requires_grad for name in node.operation.constant_names)
            if is_number and not stops and (own or any(i in found for i in node.inputs)):
                found.add(node.output)
        return frozenset(found)


def require_streamable(program: Program, sensitive: frozenset[int]) -> None:
    """Refuse barriers through which no gradient can be taken. Raises NotTileable."""
    for node in program.nodes:
        if isinstance(node.operation, Barrier) and node.output in sensitive and not node.operation.has_gradient:
            raise NotTileable(
                f"to be trained tile by tile, every operator over the whole plane must have a gradient here; "
                f"{node.operator} at layer '{node.path}' has none; take it out of the network, or detach what it reads"
            )


def traced_module(network: nn.Module, divisor: Divisor) -> nn.Module:
    """The module whose names of weights the program has."""
    return network if divisor == 1 else Padded(network, divisor)


def require_floats(program: Program) -> None:
    """Refuse an output that has no gradient. Raises InputMismatch."""
    dtype = program.values[program.output].dtype
    if not dtype.is_floating_point:
        raise InputMismatch(
            f"what is trained must end in floating-point numbers; this network ends in {dtype}; take its last steps "
            "(argmax, threshold, cast) off for training"
        )
