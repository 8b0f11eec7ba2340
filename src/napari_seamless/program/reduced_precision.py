"""The same program with fewer digits: convolutions and matrix products in bfloat16 or float16.

::

    float32            | low                                             | float32
    image, its scaling | convolution, ReLU, pooling, joining, convolution | softmax, argmax, the result

A value is *low* if a convolution or a matrix product makes it, or if an operator that keeps what it gets (activations,
sums, pooling, everything that only moves pixels) makes it from low values. Normalisation, resizing and averages take
low values, work in float32, and round what they give. All else takes and gives float32, as does everything after the
last product, and barriers, whose states are float64 anyway. This is torch's own policy for mixed precision in the main;
here it is decided once for the whole program, so that all passes, tiles and ways of keeping values round in the same
places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from napari_seamless.program.graph import Node, Program, Value
from napari_seamless.program.ops.arrange import PixelShuffle, PixelUnshuffle, SpatialCat
from napari_seamless.program.ops.barrier import MomentsBarrier
from napari_seamless.program.ops.cast import Cast, WithinReach, within_reach
from napari_seamless.program.ops.conv import Conv, TransposedConv
from napari_seamless.program.ops.extremum import Extremum
from napari_seamless.program.ops.index import ConstantPad, Copy, Enlarge, Select
from napari_seamless.program.ops.local import Local, Weight
from napari_seamless.program.ops.normalise import Normalise
from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.ops.pool import AvgPool, MaxPool
from napari_seamless.program.ops.regroup import Regroup
from napari_seamless.program.ops.resample import Resample
from napari_seamless.program.simplify import drop_constants

FULL = torch.float32
PRODUCTS = frozenset({"linear", "matmul", "mm", "addmm", "bmm", "scaled_dot_product_attention"})
KEEPING = frozenset({
    "relu", "relu6", "leaky_relu", "hardtanh", "hardsigmoid", "hardswish", "sigmoid", "tanh", "silu", "gelu", "elu",
    "selu", "celu", "mish", "prelu", "add", "sub", "rsub", "mul", "div", "neg", "abs", "clamp", "clamp_min",
    "clamp_max", "maximum", "minimum", "cat", "stack", "clone", "dropout", "repeat", "index",
})  # fmt: skip
"""torch's operators that are computed in the type that they get."""
ROUNDED = frozenset({"layer_norm", "native_layer_norm", "_native_batch_norm_legit_no_training"})
MOVING = (Copy, Select, ConstantPad, Enlarge, SpatialCat, PixelShuffle, PixelUnshuffle, Regroup, MaxPool)


def rounded(program: Program, dtype: torch.dtype) -> Program:
    """The program with `dtype` (bfloat16, float16) inside, and the same result type.

    Values and barriers keep their numbers. It is the program itself where there is nothing to round. Raises BadRequest
    for weights beyond what the type reaches.
    """
    return _Rounding(program, dtype).done()


class _Rounding:
    """Walks through a program once, in order."""

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        self._program, self._dtype = program, dtype
        self._values = list(program.values)
        self._nodes: list[Node] = []
        self._constants = dict(program.constants)
        self._low: set[int] = set()
        self._twins: dict[tuple[int, torch.dtype], int] = {}
        self._seen: dict[int, int] = {}
        self._followed = self._before_products()

    def done(self) -> Program:
        """The new program."""
        for node in self._program.nodes:
            self._take(node)
        if not self._low:
            return self._program
        output = self._in(FULL, self._program.output) if self._program.output in self._low else self._program.output
        return drop_constants(
            replace(
                self._program,
                nodes=tuple(self._nodes),
                values=tuple(self._values),
                constants=self._constants,
                output=output,
            )
        )

    def _take(self, node: Node) -> None:
        operation, value = node.operation, self._values[node.output]
        makes_numbers = value.dtype == FULL and self._has_positions(node.output)
        passes_on = makes_numbers and node.output in self._followed and self._has_low_only(node)
        if (makes_numbers and self._is_product(node)) or (passes_on and _keeps(operation)):
            self._make_low(node)
        elif passes_on and _is_rounded(operation):
            self._round(node)
        elif isinstance(operation, MomentsBarrier | Extremum):
            self._nodes.append(node)
        else:
            self._nodes.append(replace(node, inputs=tuple(self._in(FULL, i) for i in node.inputs)))

    def _before_products(self) -> frozenset[int]:
        """The values that some product is made of, directly or not."""
        found: set[int] = set()
        for node in reversed(self._program.nodes):
            if node.output in found or self._is_product(node):
                found.update(node.inputs)
        return frozenset(found)

    def _is_product(self, node: Node) -> bool:
        match node.operation:
            case Conv(weight=weight) | TransposedConv(weight=weight):
                return self._constants[weight].dtype == FULL
            case Local(target=target):
                return _packet(target) in PRODUCTS
        return False

    def _has_low_only(self, node: Node) -> bool:
        """Whether all numbers that it takes with positions are low, and there are any."""
        numbers = [i for i in node.inputs if self._has_positions(i) and self._values[i].dtype.is_floating_point]
        return bool(numbers) and all(i in self._low for i in numbers)

    def _has_positions(self, value: int) -> bool:
        return any(n is not None for n in self._values[value].domain)

    def _make_low(self, node: Node) -> None:
        self._values[node.output] = replace(self._values[node.output], dtype=self._dtype)
        self._low.add(node.output)
        inputs = tuple(self._in(self._dtype, i) for i in node.inputs)
        if self._dtype == torch.float16 and self._is_product(node):
            inputs = tuple(self._looked_at(i, node) for i in inputs)
        operation = _with_constants(node.operation, self._low_constant)
        if isinstance(operation, MaxPool):
            operation = replace(operation, itemsize=self._dtype.itemsize)
        self._nodes.append(replace(node, operation=operation, inputs=inputs))

    def _looked_at(self, value: int, node: Node) -> int:
        """A float16 value once it is known to hold no infinities."""
        if self._values[value].dtype != torch.float16:
            return value
        if value not in self._seen:
            self._seen[value] = self._new(self._values[value])
            operation = WithinReach(self._values[value].domain)
            self._nodes.append(Node(self._seen[value], operation, (value,), node.path, "check"))
        return self._seen[value]

    def _round(self, node: Node) -> None:
        """Computed in float32, and then cast."""
        wide = self._new(self._values[node.output])
        self._nodes.append(replace(node, output=wide, inputs=tuple(self._in(FULL, i) for i in node.inputs)))
        self._values[node.output] = replace(self._values[node.output], dtype=self._dtype)
        self._low.add(node.output)
        self._cast(wide, node.output, node)

    def _in(self, dtype: torch.dtype, value: int) -> int:
        """The value, or its twin of another type, which is made where it is first needed."""
        own = self._values[value]
        if own.dtype == dtype or own.dtype not in (FULL, self._dtype) or (dtype == FULL and value not in self._low):
            return value
        if (value, dtype) not in self._twins:
            twin = self._twins[value, dtype] = self._new(replace(own, dtype=dtype))
            self._cast(value, twin, None)
        return self._twins[value, dtype]

    def _cast(self, value: int, into: int, like: Node | None) -> None:
        own = self._values[into]
        self._nodes.append(Node(into, Cast(own.dtype, own.domain), (value,), like.path if like else "", "cast"))

    def _new(self, value: Value) -> int:
        self._values.append(value)
        return len(self._values) - 1

    def _low_constant(self, name: str) -> str:
        tensor = self._constants[name]
        if tensor.dtype != FULL:
            return name
        low = f"{name} ({str(self._dtype).removeprefix('torch.')})"
        self._constants[low] = within_reach(tensor.to(self._dtype))
        return low


def _keeps(operation: Operation) -> bool:
    """Whether it gives the type that it gets, and nothing is lost by that."""
    if isinstance(operation, Local):
        return operation.is_view or (_packet(operation.target) in KEEPING and operation.part is None)
    return isinstance(operation, MOVING)


def _is_rounded(operation: Operation) -> bool:
    if isinstance(operation, Local):
        return _packet(operation.target) in ROUNDED
    return isinstance(operation, Normalise | Resample | AvgPool)


def _with_constants(operation: Operation, name_of: Callable[[str], str]) -> Operation:
    """The operation with other names in the place of its constants'."""
    match operation:
        case Conv(weight=weight, bias=bias) | TransposedConv(weight=weight, bias=bias):
            return replace(operation, weight=name_of(weight), bias=None if bias is None else name_of(bias))
        case Local(args=args, kwargs=kwargs):
            renamed = tuple((key, _renamed(item, name_of)) for key, item in kwargs)
            return replace(operation, args=_renamed(args, name_of), kwargs=renamed)
    return operation


def _renamed(item: Any, name_of: Callable[[str], str]) -> Any:
    match item:
        case Weight(name):
            return Weight(name_of(name))
        case tuple():
            return tuple(_renamed(one, name_of) for one in item)
    return item


def _packet(target: str) -> str:
    """ "relu" of "aten.relu.default"."""
    return target.split(".")[1]
