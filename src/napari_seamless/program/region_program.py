"""Region programs: the whole-image program cut down to one output region, ready to be run.

Away from the borders all tiles of one size need the same region program, shifted; so it is built once for each shape
class and cached. It says, step by step, what to compute, what may be overwritten in place and what can be freed, and
from the same liveness it predicts the peak of memory.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock

from cachetools import LRUCache

from napari_seamless.geometry import Interval, Region, Tile
from napari_seamless.program.demand import AxisDemand, axis_demand, boxes
from napari_seamless.program.graph import Node, Program
from napari_seamless.program.spans import Box, Span, local_shape

CACHED_AXES = 4096


@dataclass(frozen=True)
class RegionStep:
    """One node. With `overwrites` its result may be computed over its first input; `frees` are the values done with."""

    node: Node
    overwrites: bool
    frees: tuple[int, ...]


@dataclass(frozen=True)
class RegionProgram:
    """What to do for every region of one shape class.

    `peak_bytes` is the predicted peak of tensors alive at once, weights not included; `macs` the multiply-adds.
    """

    steps: tuple[RegionStep, ...]
    peak_bytes: int
    macs: int


@dataclass(frozen=True)
class Placed:
    """A region program at a place: the demand of its axes gives the region of every value."""

    region: RegionProgram
    axes: tuple[AxisDemand, ...]

    def box(self, value: int) -> Box:
        return boxes(self.axes, value)

    def needs(self, index: int) -> list[Box]:
        """What each input of node `index` must hand over."""
        return [tuple(spans) for spans in zip(*(a.needs[index] for a in self.axes), strict=True)]


@dataclass
class RegionPrograms:
    """The region programs of one program, built when first needed and cached by shape class. Safe in any thread.

    Without `overwrites` no step writes over what another made, so that gradients can be taken afterwards.
    """

    program: Program
    overwrites: bool = True
    _axes: LRUCache[tuple[int, Span], AxisDemand] = field(default_factory=lambda: LRUCache(CACHED_AXES))
    _regions: dict[tuple[Hashable, ...], RegionProgram] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def at(self, write: Region) -> Placed:
        """The region program for one output region."""
        with self._lock:
            axes = tuple(self._axis(k, (i.lo, i.hi)) for k, i in enumerate(write.intervals))
            key = tuple(a.shape for a in axes)
            if key not in self._regions:
                self._regions[key] = _built(self.program, axes, self.overwrites)
            return Placed(self._regions[key], axes)

    def tile(self, write: Region) -> Tile:
        """What must be read to write `write`: nothing, an empty region, where the program does not use its image."""
        box = self.at(write).box(self.program.input)
        return Tile(write, Region(tuple(Interval(*(span or (0, 0))) for span in box)))

    def __len__(self) -> int:
        return len(self._regions)

    def _axis(self, axis: int, span: Span) -> AxisDemand:
        found = self._axes.get((axis, span))
        if found is None:
            found = self._axes[axis, span] = axis_demand(self.program, axis, span)
        return found


def _built(program: Program, axes: tuple[AxisDemand, ...], overwrites: bool) -> RegionProgram:
    last = _last_uses(program)
    storage, unwritable = _storages(program), _unwritable(program)
    steps, macs = [], 0
    alive = {program.input}
    ledger = _Ledger(program, axes, storage)
    ledger.make(program.input, 0)
    for k, node in enumerate(program.nodes):
        frees = tuple(sorted({i for i in node.inputs if last[i] == k and i != program.output}))
        may = overwrites and not (node.inputs and node.inputs[0] in unwritable)
        in_place = may and _can_overwrite(program, axes, k, node, frees, alive, storage)
        ledger.run(k, node, in_place)
        alive.add(node.output)
        alive.difference_update(frees)
        ledger.free(alive)
        steps.append(RegionStep(node, in_place, frees))
        shapes = [_shape(program, i, box) for i, box in zip(node.inputs, _need_boxes(axes, k), strict=True)]
        macs += node.operation.macs(shapes, _shape(program, node.output, boxes(axes, node.output)))
    return RegionProgram(tuple(steps), ledger.peak, macs)


def _shape(program: Program, index: int, box: Box) -> tuple[int, ...]:
    value = program.values[index]
    return local_shape(value.shape, value.dims, box)


def _need_boxes(axes: tuple[AxisDemand, ...], index: int) -> list[Box]:
    return [tuple(spans) for spans in zip(*(a.needs[index] for a in axes), strict=True)]


def _last_uses(program: Program) -> dict[int, int]:
    return {i: k for k, node in enumerate(program.nodes) for i in node.inputs}


def _storages(program: Program) -> dict[int, int]:
    """For each value the value whose memory it may share; -1 for constants' memory."""
    owner = {program.input: program.input}
    for node in program.nodes:
        match node.operation.memory:
            case "constant" if not node.inputs:
                owner[node.output] = -1
            case "input" | "constant" if node.inputs:
                owner[node.output] = owner[node.inputs[0]]
            case _:
                owner[node.output] = node.output
    return owner


def _unwritable(program: Program) -> frozenset[int]:
    """The values whose memory nobody may write to: constants, those kept elsewhere, those of which many positions
    share one place, and what only views them."""
    found: set[int] = set()
    for node in program.nodes:
        is_view = node.operation.memory == "input" and bool(node.inputs) and node.inputs[0] in found
        if node.operation.memory in ("constant", "saved") or is_view:
            found.add(node.output)
    return frozenset(found)


def _can_overwrite(
    program: Program,
    axes: tuple[AxisDemand, ...],
    index: int,
    node: Node,
    frees: tuple[int, ...],
    alive: set[int],
    storage: dict[int, int],
) -> bool:
    """Whether a node can be computed in place: its first input's memory is whole, its own and needed by nobody else."""
    if not node.operation.can_overwrite or not node.inputs or node.inputs[0] not in frees:
        return False
    first, out = program.values[node.inputs[0]], program.values[node.output]
    owner = storage[node.inputs[0]]
    shared = [i for i in alive if i != node.inputs[0] and storage[i] == owner]
    held, wanted = boxes(axes, node.inputs[0]), boxes(axes, node.output)
    if shared or first.dtype != out.dtype or _need_boxes(axes, index)[0] != held:
        return False
    return _shape(program, node.inputs[0], held) == _shape(program, node.output, wanted)


@dataclass
class _Ledger:
    """Counts the bytes alive while a region program is walked through."""

    program: Program
    axes: tuple[AxisDemand, ...]
    storage: dict[int, int]
    held: dict[int, int] = field(default_factory=dict)
    peak: int = 0

    def size(self, value: int) -> int:
        return self.program.values[value].bytes_of(boxes(self.axes, value))

    def make(self, value: int, temporary: int) -> None:
        owner = self.storage[value]
        if owner >= 0 and owner not in self.held:
            self.held[owner] = self.size(value)
        self.peak = max(self.peak, sum(self.held.values()) + temporary)

    def run(self, index: int, node: Node, in_place: bool) -> None:
        if in_place:
            self.held[node.output] = self.held.pop(self.storage[node.inputs[0]])
            self.storage[node.output] = node.output
            return
        needs = _need_boxes(self.axes, index)
        sizes = [self.program.values[i].bytes_of(box) for i, box in zip(node.inputs, needs, strict=True)]
        temporary = node.operation.workspace(needs, boxes(self.axes, node.output), sizes)
        if node.operation.copies_parts and needs[0] != boxes(self.axes, node.inputs[0]) and not temporary:
            temporary = sizes[0]
        self.make(node.output, temporary)

    def free(self, alive: set[int]) -> None:
        used = {self.storage[i] for i in alive if i in self.storage}
        for owner in [o for o in self.held if o not in used]:
            del self.held[owner]
