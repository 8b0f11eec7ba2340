"""The same program in reduced precision: convolutions and matrix products in bfloat16 or float16.

::

    float32            | low                                             | float32
    image, its scaling | convolution, ReLU, pooling, joining, convolution | softmax, argmax, the result

A value is *low* if a convolution or a matrix product makes it, or if an operator that keeps the dtype that it gets
(activations, sums, pooling, everything that only moves pixels) makes it from low values. Normalisation, resizing and
averages take low values, work in float32, and round their results. All else takes and gives float32, as does everything
after the last product, and barriers, whose states are float64 anyway. Each operation says which of these it is
(`low_precision`). This is torch's own policy for mixed precision in the main; here it is decided once for the whole
program, so that all passes, tiles and ways of saving activations round in the same places.
"""

from __future__ import annotations

from dataclasses import replace

import torch

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.cast import Cast, WithinReach, within_reach
from napari_seamless.program.simplify import drop_constants
from napari_seamless.program.value import Value

FULL = torch.float32


def in_reduced_precision(program: Program, dtype: torch.dtype) -> Program:
    """The program with `dtype` (bfloat16, float16) inside, and the same result type.

    Values and barriers keep their indices. It is the program itself where there is nothing to round. Raises BadRequest
    for weights beyond what the type reaches.
    """
    return _Lowering(program, dtype).done()


class _Lowering:
    """Walks through a program once, in order."""

    def __init__(self, program: Program, dtype: torch.dtype) -> None:
        self._program, self._dtype = program, dtype
        self._values = list(program.values)
        self._nodes: list[Node] = []
        self._constants = dict(program.constants)
        self._low: set[int] = set()
        self._twins: dict[tuple[int, torch.dtype], int] = {}
        self._checks: dict[int, int] = {}
        self._before_a_product = self._feeding_products()

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
        may_be_low = self._values[node.output].dtype == FULL and self._has_positions(node.output)
        passes_on = may_be_low and node.output in self._before_a_product and self._has_low_only(node)
        match node.operation.low_precision:
            case "product" if may_be_low:
                self._make_low(node)
            case "keeps" if passes_on:
                self._make_low(node)
            case "rounds" if passes_on:
                self._round(node)
            case "reads":
                self._nodes.append(node)
            case _:
                self._nodes.append(replace(node, inputs=tuple(self._in(FULL, i) for i in node.inputs)))

    def _feeding_products(self) -> frozenset[int]:
        """The values that some product is made of, directly or not."""
        found: set[int] = set()
        for node in reversed(self._program.nodes):
            if node.output in found or self._is_product(node):
                found.update(node.inputs)
        return frozenset(found)

    def _is_product(self, node: Node) -> bool:
        return node.operation.low_precision == "product" and self._program.values[node.output].dtype == FULL

    def _has_low_only(self, node: Node) -> bool:
        """Whether all floating-point values that it takes with positions are low, and there are any."""
        floats = [i for i in node.inputs if self._has_positions(i) and self._values[i].dtype.is_floating_point]
        return bool(floats) and all(i in self._low for i in floats)

    def _has_positions(self, value: int) -> bool:
        return any(n is not None for n in self._values[value].domain)

    def _make_low(self, node: Node) -> None:
        self._values[node.output] = replace(self._values[node.output], dtype=self._dtype)
        self._low.add(node.output)
        inputs = tuple(self._in(self._dtype, i) for i in node.inputs)
        if self._dtype == torch.float16 and self._is_product(node):
            inputs = tuple(self._checked(i, node) for i in inputs)
        operation = node.operation.in_dtype(self._dtype, self._low_constant)
        self._nodes.append(replace(node, operation=operation, inputs=inputs))

    def _checked(self, value: int, node: Node) -> int:
        """A float16 value once it is known to hold no infinities."""
        if self._values[value].dtype != torch.float16:
            return value
        if value not in self._checks:
            self._checks[value] = self._new(self._values[value])
            operation = WithinReach(self._values[value].domain)
            self._nodes.append(Node(self._checks[value], operation, (value,), node.path, "check"))
        return self._checks[value]

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
