"""Reductions of one value over the plane share one measurement, and those of its squared differences join them.

::

    x --> mean --> x - mean --> square --> mean          two passes, one behind the other
    x --> moments --> mean, mean of squared differences  one
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import torch

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.from_moments import FromMoments, Moments
from napari_seamless.program.ops.local import Local, Slot
from napari_seamless.program.ops.reduce import Length, Mean, Total, Variance
from napari_seamless.program.passes import LARGEST_KNOWN, settled
from napari_seamless.program.simplify import drop_unused
from napari_seamless.program.value import Value

FACTORS = {"aten.sub.Tensor": 1.0, "aten.add.Tensor": -1.0}
"""What c is multiplied by in x - factor * c."""


@dataclass(frozen=True)
class Reduced:
    """What a node reduces: x - factor * c, or its square; x itself where c is None."""

    x: int
    c: int | None = None
    factor: float = 1.0
    squares: bool = False


def share_moments(program: Program) -> Program:
    """Means, sums, variances and lengths that follow from the moments of one value have them measured together."""
    makers, known = {node.output: node for node in program.nodes}, settled(program)
    found = {node.output: _reduced(program, node, makers, known) for node in program.nodes if _is_reduction(node)}
    groups: dict[int, list[Reduced]] = {}
    for one in found.values():
        groups.setdefault(one.x, []).append(one)
    shared = {
        x for x, group in groups.items() if (len(group) > 1 or group[0].c is not None) and _is_small(program.values[x])
    }
    values, nodes = list(program.values), []
    measured: dict[int, int] = {}
    for node in program.nodes:
        reduced = found.get(node.output)
        if reduced is None or reduced.x not in shared:
            nodes.append(node)
            continue
        if reduced.x not in measured:
            measured[reduced.x] = len(values)
            nodes.append(_moments(program, node, reduced.x, len(values)))
            values.append(_value_of(program.values[reduced.x], program.ndim))
        nodes.append(_from_moments(program, node, reduced, measured[reduced.x]))
    return drop_unused(replace(program, nodes=tuple(nodes), values=tuple(values)))


def _is_reduction(node: Node) -> bool:
    return type(node.operation) in (Mean, Total, Variance, Length)


def _reduced(program: Program, node: Node, makers: Mapping[int, Node], known: Collection[int]) -> Reduced:
    """What a reduction is of, as far back as its value follows from moments."""
    given = node.inputs[0]
    squared = _squared(makers.get(given)) if type(node.operation) in (Mean, Total) else None
    difference = makers.get(given if squared is None else squared)
    found = _difference(program, difference, known, is_squared=squared is not None) if difference is not None else None
    return found or Reduced(given)


def _squared(node: Node | None) -> int | None:
    """The value of which a node is the square."""
    operation = node.operation if node is not None else None
    if node is None or not isinstance(operation, Local):
        return None
    match operation.target, operation.args:
        case ("aten.pow.Tensor_Scalar", (Slot(0), 2)) | ("aten.square.default", (Slot(0),)):
            return node.inputs[0]
        case "aten.mul.Tensor", (Slot(0), Slot(1)) if node.inputs[0] == node.inputs[1]:
            return node.inputs[0]
    return None


def _difference(program: Program, node: Node, known: Collection[int], *, is_squared: bool) -> Reduced | None:
    """A value less another one that is known, the same at all positions; of squares also the other way round."""
    operation = node.operation
    if not isinstance(operation, Local) or operation.target not in FACTORS:
        return None
    if operation.args != (Slot(0), Slot(1)) or len(node.inputs) != 2:
        return None
    alpha = float(dict(operation.kwargs).get("alpha", 1))
    (x, c), factor = node.inputs, FACTORS[operation.target] * alpha
    if x in known and is_squared and alpha == 1:
        x, c = c, x
    values = program.values
    is_one_position = c in known and all(n in (None, 1) for n in values[c].domain)
    is_of_x = values[x].shape == values[node.output].shape and values[x].dims == values[node.output].dims
    is_wide = values[x].dtype == values[node.output].dtype and values[x].dtype.is_floating_point
    if x in known or not is_one_position or not is_of_x or not is_wide or len(values[c].shape) > len(values[x].shape):
        return None
    return Reduced(x, c, factor, is_squared)


def _moments(program: Program, like: Node, x: int, output: int) -> Node:
    value = program.values[x]
    barrier = Moments((value.dims,), value.domain, _value_of(value, program.ndim).shape, torch.float64)
    return replace(like, output=output, operation=barrier, inputs=(x,))


def _from_moments(program: Program, node: Node, one: Reduced, moments: int) -> Node:
    assert isinstance(node.operation, Mean)
    if one.c is None:
        return replace(node, operation=FromMoments(node.operation), inputs=(moments,))
    operation = FromMoments(node.operation, program.values[one.c].domain, one.factor, one.squares)
    return replace(node, operation=operation, inputs=(moments, one.c))


def _value_of(x: Value, ndim: int) -> Value:
    """What is measured of x, without positions."""
    channels = [n for n, axes in zip(x.shape, x.dims, strict=True) if not axes]
    return Value((3, *channels), torch.float64, ((),) * (1 + len(channels)), (None,) * ndim)


def _is_small(x: Value) -> bool:
    return _value_of(x, len(x.domain)).nbytes <= LARGEST_KNOWN
