"""Passes that make a program cheaper without changing what it computes (beyond rounding)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.conv import Conv, TransposedConv
from napari_seamless.program.ops.local import Local, Weight

DETACH = "aten.detach.default"
COPIES = frozenset({"aten.clone.default", "aten.contiguous.default", DETACH, "aten.alias.default",
                    "aten.lift_fresh_copy.default", "aten.dropout.default"})  # fmt: skip


def simplify(program: Program) -> Program:
    """All passes, in order. What was traced for training keeps its weights apart."""
    folding = () if program.learning is not None else (fold_batch_norm,)
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
    copies = COPIES if program.learning is None else COPIES - {DETACH}
    stands_for: dict[int, int] = {}
    kept = []
    for node in program.nodes:
        inputs = tuple(stands_for.get(i, i) for i in node.inputs)
        if isinstance(node.operation, Local) and node.operation.target in copies:
            stands_for[node.output] = inputs[0]
        else:
            kept.append(replace(node, inputs=inputs))
    return replace(program, nodes=tuple(kept), output=stands_for.get(program.output, program.output))


def fold_batch_norm(program: Program) -> Program:
    """Batch norm with stored statistics scales and shifts channels, which the convolution before it can do itself."""
    users = program.users
    makers = {n.output: n for n in program.nodes}
    constants = dict(program.constants)
    replaced: dict[int, Node] = {}
    for node in program.nodes:
        maker = makers.get(node.inputs[0]) if node.inputs else None
        if not _is_batch_norm(node) or maker is None or len(users[maker.output]) != 1 or maker.output == program.output:
            continue
        if not isinstance(maker.operation, Conv | TransposedConv):
            continue
        folded = _folded(maker.operation, node, constants)
        replaced[maker.output] = replace(maker, operation=folded, output=node.output)
        replaced[node.output] = replaced[maker.output]
    nodes: list[Node] = []
    for node in program.nodes:
        new = replaced.get(node.output, node)
        if new not in nodes[-1:] and not (_is_batch_norm(node) and node.output in replaced):
            nodes.append(new)
    return replace(program, nodes=tuple(nodes), constants=constants)


def _is_batch_norm(node: Node) -> bool:
    return isinstance(node.operation, Local) and node.operation.target.startswith("aten._native_batch_norm_legit_no")


def _folded(conv: Conv | TransposedConv, norm: Node, constants: dict[str, Tensor]) -> Conv | TransposedConv:
    operation = norm.operation
    assert isinstance(operation, Local)
    scale, shift = _scale_and_shift(operation, constants)
    weight, bias = constants[conv.weight], constants[conv.bias] if conv.bias is not None else None
    names = f"{conv.weight}+{norm.output}", f"{conv.weight}+{norm.output}.bias"
    constants[names[0]] = _scaled(weight, scale, conv)
    constants[names[1]] = (shift if bias is None else bias.double() * scale + shift).to(weight.dtype)
    return replace(conv, weight=names[0], bias=names[1])


def _scale_and_shift(norm: Local, constants: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """In float64, so that folding adds no rounding of its own."""

    def given(item: object, default: float) -> Tensor:
        return constants[item.name].double() if isinstance(item, Weight) else torch.tensor(default, dtype=torch.float64)

    _, weight, bias, mean, variance, _, eps = norm.args
    scale = given(weight, 1.0) / torch.sqrt(given(variance, 1.0) + eps)
    return scale, given(bias, 0.0) - given(mean, 0.0) * scale


def _scaled(weight: Tensor, scale: Tensor, conv: Conv | TransposedConv) -> Tensor:
    rest = (1,) * (weight.dim() - 2)
    if isinstance(conv, Conv):
        return (weight.double() * scale.view(-1, 1, *rest)).to(weight.dtype)
    grouped = scale.view(conv.groups, 1, -1).expand(-1, weight.shape[0] // conv.groups, -1)
    return (weight.double() * grouped.reshape(weight.shape[0], -1, *rest)).to(weight.dtype)


def drop_constants(program: Program) -> Program:
    """Constants that no operation asks for any more."""
    used = {name for node in program.nodes for name in node.operation.constant_names}
    learning = program.learning
    if learning is not None:
        learning = replace(learning, recipes=learning.needed(used))
        used |= {name for recipe in learning.recipes for name in (recipe.name, *recipe.needs)}
    constants = {k: v for k, v in program.constants.items() if k in used}
    return replace(program, constants=constants, learning=learning)
