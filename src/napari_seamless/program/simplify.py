"""Passes that make a program cheaper without changing what it computes (beyond rounding)."""

from __future__ import annotations

from dataclasses import replace

from napari_seamless.program.graph import Node, Program


def simplify(program: Program) -> Program:
    """All passes, in order. What was traced for training keeps its weights apart."""
    folding = () if program.training is not None else (fold_affine,)
    for step in (drop_unused, drop_copies, *folding, drop_unused, drop_constants):
        program = step(program)
    return program


def drop_unused(program: Program) -> Program:
    """Nodes whose value nobody reads."""
    needed, kept = {program.output}, []
    for node in reversed(program.nodes):
        if node.output in needed:
            needed.update(node.inputs)
            kept.append(node)
    return replace(program, nodes=tuple(reversed(kept)))


def drop_copies(program: Program) -> Program:
    """Copies that only a whole-image run with shared memory would need."""
    is_trained = program.training is not None
    stands_for: dict[int, int] = {}
    kept = []
    for node in program.nodes:
        inputs = tuple(stands_for.get(i, i) for i in node.inputs)
        if node.operation.is_copy and not (is_trained and node.operation.stops_gradient):
            stands_for[node.output] = inputs[0]
        else:
            kept.append(replace(node, inputs=inputs))
    return replace(program, nodes=tuple(kept), output=stands_for.get(program.output, program.output))


def fold_affine(program: Program) -> Program:
    """What only scales and shifts channels (a batch norm with stored statistics) is done by the operation before it,
    where that can (a convolution) and nobody else reads its result."""
    users = program.users
    makers = {n.output: n for n in program.nodes}
    constants = dict(program.constants)
    folded: dict[int, Node] = {}
    for node in program.nodes:
        maker = makers.get(node.inputs[0]) if node.inputs else None
        affine = node.operation.channel_affine(constants)
        if affine is None or maker is None or len(users[maker.output]) != 1 or maker.output == program.output:
            continue
        both = maker.operation.then_affine(*affine, constants, f"+{node.output}")
        if both is None:
            continue
        operation, made = both
        constants.update(made)
        folded[maker.output] = replace(maker, operation=operation, output=node.output)
    done = {node.output for node in folded.values()}
    nodes = tuple(folded.get(n.output, n) for n in program.nodes if n.output not in done)
    return replace(program, nodes=nodes, constants=constants)


def drop_constants(program: Program) -> Program:
    """Constants that no operation asks for any more."""
    used = {name for node in program.nodes for name in node.operation.constant_names}
    training = program.training
    if training is not None:
        training = replace(training, derived=training.needed(used))
        used |= {name for one in training.derived for name in (one.name, *one.needs)}
    constants = {k: v for k, v in program.constants.items() if k in used}
    return replace(program, constants=constants, training=training)
