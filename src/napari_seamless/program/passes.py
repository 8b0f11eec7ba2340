"""Passes: a program with barriers as a row of programs without any, to be run over all tiles one after the other.

::

    image --> conv --> barrier A --> conv --> barrier B --> conv --> output
    pass 0:   measures A
    pass 1:            knows A, measures B
    pass 2:                                   knows A and B, makes the output

A barrier's pass is its depth: how many others lie behind one another before it. Those of one depth share a pass. What
follows from measured values alone (the small layers of squeeze and excite) is computed once between two passes.
A pass begins at the image or at *saved* values, those that an earlier pass wrote down whole on its way.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.barrier import Barrier, State
from napari_seamless.program.ops.constant_image import ConstantImage
from napari_seamless.program.ops.gather import Gather
from napari_seamless.program.ops.saved_value import SavedValue
from napari_seamless.program.simplify import drop_constants, drop_unused
from napari_seamless.program.value import Value

MASK = "mask of the statistics"
LARGEST_KNOWN = 1 << 22
"""Bytes up to which a value that follows from measured ones is computed whole; above, every tile makes its own part."""


@dataclass(frozen=True)
class Pass:
    """One run over all tiles. `number` counts from 0.

    `program` has no barriers. It makes the output in the last pass, and gathers in the others: it measures the
    `barriers` (nodes of the whole program) and writes down the values `saves`. It begins at the image or at the values
    `saved`. The tensors of what is `known` from earlier passes are missing from its constants until `with_known`.
    """

    number: int
    program: Program
    barriers: tuple[Node, ...] = ()
    saves: tuple[int, ...] = ()
    saved: tuple[int, ...] = ()
    known: tuple[int, ...] = ()

    @property
    def reads_image(self) -> bool:
        """Whether it begins at the image, perhaps among others."""
        return any(self.program.input in node.inputs for node in self.program.nodes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The grid that its tiles partition: the output's, or the finest of what it gathers."""
        domain = self.program.values[self.program.output].domain
        return tuple(n if n is not None else 1 for n in domain)

    def with_known(self, known: Mapping[int, Tensor]) -> Program:
        """The pass' program, ready to run."""
        return replace(
            self.program, constants={**self.program.constants, **{known_name(i): known[i] for i in self.known}}
        )


def barriers_of(program: Program) -> list[Node]:
    """The nodes that have to be measured, in the order of the program."""
    known = settled(program)
    return [n for n in program.nodes if isinstance(n.operation, Barrier) and not all(i in known for i in n.inputs)]


def depths(program: Program, given: Collection[int] = ()) -> list[int]:
    """For each value the pass in which it can first be made; the barriers `given` (their values) are known before."""
    depth = [0] * len(program.values)
    measured = {node.output for node in barriers_of(program)}
    for node in program.nodes:
        if node.output not in given:
            depth[node.output] = max((depth[i] for i in node.inputs), default=0) + (node.output in measured)
    return depth


def count_passes(program: Program, given: Collection[int] = ()) -> int:
    """How often the tiles are gone over."""
    return depths(program, given)[program.output] + 1


def settled(program: Program) -> frozenset[int]:
    """The values that are known whole once their barriers are: barriers' own, and what follows from them alone."""
    known: set[int] = set()
    for node in program.nodes:
        is_small = _bytes(program.values[node.output]) <= LARGEST_KNOWN
        follows = bool(node.inputs) and all(i in known for i in node.inputs)
        if isinstance(node.operation, Barrier) or (follows and is_small):
            known.add(node.output)
    return frozenset(known)


def dtypes_in_tiles(program: Program) -> frozenset[torch.dtype]:
    """The types of all values that tiles hold; what is known between two passes is computed apart from them."""
    known, measured = settled(program), {node.output for node in barriers_of(program)}
    found = set()
    for node in program.nodes:
        if node.output not in known:
            found.add(program.values[node.output].dtype)
        if node.output not in known or node.output in measured:
            found.update(program.values[i].dtype for i in node.inputs)
    return frozenset(found)


def plan_passes(
    program: Program,
    save: Sequence[Iterable[int]] = (),
    given: Collection[int] = (),
    mask: Tensor | None = None,
) -> tuple[Pass, ...]:
    """The passes of a program; a single one, which makes the output, where all of its barriers are `given`.

    `save[p]` are the values that are there, whole, when pass p has ended (default: none, each pass begins at the
    image); each is made in pass p or was saved before. Barriers count only pixels in `mask`, (y, x) bool, if given.
    """
    depth, known = depths(program, given), settled(program)
    if not known:
        return (Pass(0, program),)
    held = [frozenset(values) for values in save] or [frozenset[int]()] * depth[program.output]
    return tuple(
        one_pass(
            program, number, held[number - 1] if number else frozenset(), held[number : number + 1], depth, known, mask
        )
        for number in range(depth[program.output] + 1)
    )


def one_pass(
    program: Program,
    number: int,
    before: frozenset[int],
    after: Sequence[frozenset[int]],
    depth: Sequence[int],
    known: frozenset[int],
    mask: Tensor | None = None,
) -> Pass:
    """Pass `number`, with the values `before` saved whole, to leave those of `after` (none for the last pass)."""
    if number == depth[program.output]:
        return _cut(program, number, before, known)
    barriers = [n for n in program.nodes if _is_measured(n, depth, known, number)]
    saves = sorted(frozenset[int]().union(*after) - before)
    return _gathering(program, number, barriers, saves, before, known, mask)


def _is_measured(node: Node, depth: Sequence[int], known: frozenset[int], number: int) -> bool:
    """Whether a pass measures this barrier; one of known values alone follows without a pass of its own."""
    if not isinstance(node.operation, Barrier) or all(i in known for i in node.inputs):
        return False
    return depth[node.output] == number + 1


def _gathering(
    program: Program,
    number: int,
    barriers: Sequence[Node],
    saves: Sequence[int],
    before: frozenset[int],
    known: frozenset[int],
    mask: Tensor | None,
) -> Pass:
    inputs = [i for node in barriers for i in node.inputs] + list(saves)
    domains = tuple(program.values[i].domain for i in inputs)
    gather = Gather(
        tuple(node.operation for node in barriers if isinstance(node.operation, Barrier)),
        tuple(saves),
        tuple(program.values[i].dims for i in inputs),
        domains,
        None if mask is None else MASK,
    )
    grid = gather.domain
    root = Node(len(program.values), gather, tuple(inputs), "", "gather")
    values = (*program.values, Value((1,), torch.float64, ((),), grid))
    constants = program.constants if mask is None else {**program.constants, MASK: mask}
    whole = replace(program, nodes=(*program.nodes, root), values=values, constants=constants, output=root.output)
    cut = _cut(whole, number, before, known)
    return replace(cut, barriers=tuple(barriers), saves=tuple(saves))


def _cut(program: Program, number: int, before: frozenset[int], known: frozenset[int]) -> Pass:
    """The part of a program that makes its output from saved and known values, and from the image."""
    nodes: list[Node] = []
    for node in program.nodes:
        value = program.values[node.output]
        if node.output in known:
            operation: ConstantImage | SavedValue = ConstantImage(known_name(node.output), _spread(value), value.domain)
            nodes.append(Node(node.output, operation, (), node.path, "known"))
        elif node.output in before:
            nodes.append(Node(node.output, SavedValue(node.output, value.dims), (), node.path, "saved"))
        else:
            nodes.append(node)
    part = drop_unused(replace(program, nodes=tuple(nodes)))
    used = tuple(n.output for n in part.nodes if n.output in known)
    saved = tuple(n.output for n in part.nodes if n.output in before)
    return Pass(number, drop_constants(part), saved=saved, known=used)


def _spread(value: Value) -> tuple[tuple[int, ...], ...]:
    """The dimensions of a known value of which tiles take a part each."""
    return tuple(axes if n > 1 else () for n, axes in zip(value.shape, value.dims, strict=True))


def known_name(value: int) -> str:
    """The constant that holds a value known from earlier passes."""
    return f"known {value}"


def settle(program: Program, measured: Mapping[int, State], known: Mapping[int, Tensor]) -> dict[int, Tensor]:
    """All values that are known, now that the barriers `measured` are (by their nodes' outputs). CPU tensors."""
    result = dict(known)
    followers = settled(program)
    for node in program.nodes:
        if node.output in result or node.output not in followers:
            continue
        if node.output in measured:
            operation = node.operation
            assert isinstance(operation, Barrier)
            result[node.output] = operation.finish(measured[node.output], program.constants)
        elif node.inputs and all(i in result for i in node.inputs):
            result[node.output] = _whole(program, node, result)
    return result


def _whole(program: Program, node: Node, known: Mapping[int, Tensor]) -> Tensor:
    boxes = [_domain_box(program.values[i]) for i in node.inputs]
    inputs = [known[i] for i in node.inputs]
    with torch.no_grad():
        return node.operation.run(inputs, program.constants, boxes, _domain_box(program.values[node.output])).clone()


def _domain_box(value: Value) -> tuple[tuple[int, int] | None, ...]:
    return tuple((0, n) if n is not None else None for n in value.domain)


def _bytes(value: Value) -> int:
    return value.bytes_of(_domain_box(value))
