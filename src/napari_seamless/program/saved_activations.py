"""Save or recompute: what to write down between two passes, so that the next one need not begin at the image.

k barriers recomputed from the image cost about k/2 whole runs. After each pass we look for the cheapest way on: every
value that later passes build on is either saved (its bytes are written and read once) or made again from others
(multiply-adds and memory traffic). That is a minimum cut of the program's graph, with seconds as capacities:

::

    never again --work(v)--> make v --saving(v)--> need v --(must be)--> make w, for all w that read v --> next pass

The cut is taken pass by pass. A value can only be saved if the pass just over makes it, or if it was saved before.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import networkx as nx

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.barrier import Barrier
from napari_seamless.program.passes import Pass, depths, one_pass, settled

Tier = Literal["device", "host", "disk"]
SOURCE, SINK = "never again", "next pass"
Vertex = str | tuple[str, int]


@dataclass(frozen=True)
class StorageTier:
    """A tier with room for `limit` bytes, written and read at `rate` bytes a second, `itemsize` bytes an element.

    `itemsize` None saves values in their own dtype.
    """

    tier: Tier
    limit: int
    rate: float
    itemsize: int | None = None


@dataclass(frozen=True)
class DeviceSpeed:
    """A device, roughly: multiply-adds a second, bytes of memory a second, and image bytes read a second."""

    macs: float
    memory: float
    reading: float = 3e8


@dataclass(frozen=True)
class ActivationPlan:
    """What is saved whole after each pass but the last, in which tier, and the predicted seconds of each pass.

    `after` is empty where nothing is saved at all. `most` is the most bytes that lie in each tier at once.
    """

    after: tuple[frozenset[int], ...] = ()
    where: Mapping[int, Tier] = field(default_factory=dict)
    most: Mapping[Tier, int] = field(default_factory=dict)
    seconds: tuple[float, ...] = (0.0,)


def plan_saved_activations(
    program: Program, tiers: Sequence[StorageTier], speed: DeviceSpeed, given: Collection[int] = ()
) -> ActivationPlan:
    """Choose what to save, in the first of `tiers` that has the room; nothing where that is cheapest.

    Barriers in `given` need no pass, as in `plan_passes`.
    """
    costs = _Costs(program, speed, given)
    plan = _Plan(costs, tiers)
    held: frozenset[int] = frozenset()
    passes = []
    for number in range(costs.last):
        stage = one_pass(program, number, held, (), costs.depth, costs.known)
        made = frozenset(n.output for n in stage.program.nodes if n.output not in {*stage.saved, *stage.known})
        chosen = plan.choose(number, held, made)
        passes.append(one_pass(program, number, held, (chosen,), costs.depth, costs.known))
        plan.after.append(chosen)
        held = chosen
    passes.append(one_pass(program, costs.last, held, (), costs.depth, costs.known))
    seconds = tuple(costs.seconds(stage, plan) for stage in passes)
    return ActivationPlan(tuple(plan.after) if any(plan.after) else (), plan.where, plan.most, seconds)


class _Plan:
    """What has been chosen so far."""

    def __init__(self, costs: _Costs, tiers: Sequence[StorageTier]) -> None:
        self._costs = costs
        self._tiers = tiers
        self.after: list[frozenset[int]] = []
        self.where: dict[int, Tier] = {}
        self.most: dict[Tier, int] = {}

    def choose(self, number: int, held: frozenset[int], made: frozenset[int]) -> frozenset[int]:
        """The values to save after a pass. Those held before lie beside them until it is over."""
        for tier in self._tiers:
            chosen = self._costs.cut(number, held, made, tier, self)
            where = {**self.where, **dict.fromkeys(chosen - held, tier.tier)}
            used = self._used(held | chosen, where)
            if used.get(tier.tier, 0) <= tier.limit:
                self.where = where
                self.most = {t: max(used.get(t, 0), self.most.get(t, 0)) for t in {*used, *self.most}}
                return chosen
        return self._costs.cut(number, held, frozenset(), None, self)

    def size(self, value: int, tier: StorageTier | None = None) -> int:
        """Bytes of a saved value."""
        tier = tier or next(p for p in self._tiers if p.tier == self.where[value])
        return whole_bytes(self._costs.program, value, tier.itemsize)

    def rate(self, value: int) -> float:
        return next(p.rate for p in self._tiers if p.tier == self.where[value])

    def _used(self, values: frozenset[int], where: Mapping[int, Tier]) -> dict[Tier, int]:
        used: dict[Tier, int] = {}
        for tier in self._tiers:
            lying = [value for value in values if where[value] == tier.tier]
            if lying:
                used[tier.tier] = sum(whole_bytes(self._costs.program, v, tier.itemsize) for v in lying)
        return used


class _Costs:
    """A program's graph with its costs in seconds."""

    def __init__(self, program: Program, speed: DeviceSpeed, given: Collection[int]) -> None:
        self.program = program
        self.speed = speed
        self.depth = depths(program, given)
        self.last = self.depth[program.output]
        self.known = settled(program)
        self._work = {node.output: self._seconds(node) for node in program.nodes}
        self._reading = whole_bytes(program, program.input, 1) / speed.reading

    def _seconds(self, node: Node) -> float:
        values = self.program.values
        shapes = [values[i].shape for i in node.inputs]
        macs = node.operation.macs(shapes, values[node.output].shape)
        traffic = 0 if node.operation.memory != "own" else 2 * whole_bytes(self.program, node.output)
        return macs / self.speed.macs + traffic / self.speed.memory

    def seconds(self, stage: Pass, plan: _Plan) -> float:
        """Predicted seconds of a pass."""
        work = sum(self._work.get(n.output, 0.0) for n in stage.program.nodes if n.output not in stage.known)
        moved = sum(plan.size(v) / plan.rate(v) for v in (*stage.saved, *stage.saves))
        return work + moved + (self._reading if stage.reads_image else 0.0)

    def cut(
        self, number: int, held: frozenset[int], made: frozenset[int], tier: StorageTier | None, plan: _Plan
    ) -> frozenset[int]:
        """What to save after pass `number`: of the values `made` in it, in `tier`, and of those `held` before.

        A value is before the cut as "make" if it is not made again, and after it as "need" if the next pass needs it.
        """
        graph = nx.DiGraph()
        graph.add_edge(SOURCE, ("need", self.program.input), capacity=self._reading)
        for node in self.program.nodes:
            if node.output in self.known:
                is_open = isinstance(node.operation, Barrier) and self.depth[node.output] > number + 1
                target: Vertex | None = SINK if is_open else None
            else:
                target = SINK if self.depth[node.output] > number else ("make", node.output)
            if target is None:
                continue
            for i in node.inputs:
                if i not in self.known:
                    graph.add_edge(("need", i), target)
        for node in self.program.nodes:
            value = node.output
            if ("need", value) not in graph:
                continue
            graph.add_edge(SOURCE, ("make", value), capacity=self._work[value])
            saving = self._saving_cost(value, held, made, tier, plan)
            if saving is None:
                graph.add_edge(("make", value), ("need", value))
            else:
                graph.add_edge(("make", value), ("need", value), capacity=saving)
        if SINK not in graph:  # all that is left follows from measured values alone
            return frozenset()
        _, (before, _) = nx.minimum_cut(graph, SOURCE, SINK)
        return frozenset(
            node.output
            for node in self.program.nodes
            if ("make", node.output) in before
            and ("need", node.output) in graph
            and ("need", node.output) not in before
        )

    def _saving_cost(
        self, value: int, held: frozenset[int], made: frozenset[int], tier: StorageTier | None, plan: _Plan
    ) -> float | None:
        """Seconds to have a value there in the next pass without making it again; None where that cannot be."""
        if value in held:
            return plan.size(value) / plan.rate(value)
        flattened = any(len(axes) > 1 for axes in self.program.values[value].dims)
        if value not in made or tier is None or flattened:
            return None
        return 2 * plan.size(value, tier) / tier.rate


def whole_bytes(program: Program, value: int, itemsize: int | None = None) -> int:
    """Bytes of a whole value; floating-point elements of at most `itemsize` bytes each."""
    whole = program.values[value]
    size = whole.bytes_of(tuple((0, n) if n is not None else None for n in whole.domain))
    own = whole.dtype.itemsize
    return size // own * min(own, itemsize) if itemsize is not None and whole.dtype.is_floating_point else size
