"""How large the whole numbers are that a program gives: those that number something small, and all others."""

from __future__ import annotations

from math import prod

import torch

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.barrier import Barrier

INDICES = frozenset(
    f"aten.{name}"
    for name in ("argmax", "argmin", "max", "min", "topk", "sort", "argsort", "median", "kthvalue", "mode")
)
"""Operators that give the number of a channel or a place, where their input is no whole number itself. Barriers count
places in the whole plane."""

ARRANGING = frozenset(
    f"aten.{name}"
    for name in (
        *("squeeze", "unsqueeze", "view", "_unsafe_view", "reshape", "flatten", "select", "slice", "clone", "alias"),
        *("permute", "transpose", "expand", "cat", "stack", "flip", "upsample_nearest2d", "upsample_nearest3d"),
        *("max_pool2d", "max_pool3d", "_to_copy"),
    )
)
"""Operators whose result has no other numbers than their inputs."""

NARROW = frozenset((torch.bool, torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32))


def fits_32_bits(program: Program) -> bool:
    """Whether what a program gives, being whole numbers, fits int32 for certain: class numbers do, for example.

    Where arithmetic is done on wider numbers, nothing is certain.
    """
    makers = {node.output: node for node in program.nodes}
    return _fits(program, makers, program.output)


def _fits(program: Program, makers: dict[int, Node], value: int) -> bool:
    if program.values[value].dtype in NARROW:
        return True
    node = makers.get(value)
    if node is None or program.values[value].dtype.is_floating_point:
        return False
    name = node.operator.rpartition(".")[0]
    if name in INDICES and not any(_is_wide(program.values[i].dtype) for i in node.inputs):
        return not isinstance(node.operation, Barrier) or prod(program.values[node.inputs[0]].shape) <= 2**31
    return name in ARRANGING and bool(node.inputs) and all(_fits(program, makers, i) for i in node.inputs)


def _is_wide(dtype: torch.dtype) -> bool:
    return not dtype.is_floating_point and dtype not in NARROW
