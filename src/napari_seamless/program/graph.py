"""The whole-image program: a traced network as our own data.

A program is a list of nodes in the order of execution. Each node makes one value from earlier values and from
constants by one operation, and each operation carries its rule (which input region an output region needs) beside its
kernel (how to compute just that region). All shapes are the true ones, of the whole image.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from napari_seamless.program.derived_constants import TrainingConstants
from napari_seamless.program.divisor import Divisor
from napari_seamless.program.ops.operation import Operation
from napari_seamless.program.value import Value


@dataclass(frozen=True)
class Node:
    """One step: `values[output] = operation(values[i] for i in inputs, constants)`.

    `path` is the name of the layer in the user's model ("encoder.layer1.0.conv2"), `operator` torch's name for the
    operation ("aten.conv2d.default"); both are for messages.
    """

    output: int
    operation: Operation
    inputs: tuple[int, ...]
    path: str
    operator: str


@dataclass(frozen=True)
class Refusal:
    """Why one operator cannot be computed tile by tile, in words for the user.

    `line` is where the user's own code calls it, "line 12 of model.py, `y = x.sort()`", "" where torch does not say.
    """

    operator: str
    path: str
    reason: str
    line: str = ""

    def __str__(self) -> str:
        where = f" at layer '{self.path}'" if self.path else ""
        called = f" (in {self.line})" if self.line else ""
        return f"{self.operator}{where}{called}: {self.reason}"


@dataclass(frozen=True)
class Program:
    """A traced network: `values[input]` is the image, (1, c, [z,] y, x) float32, `values[output]` the result.

    `divisor` is the number by which the network wants its input sizes to be divisible, or one for each axis; where it
    is above 1 the far
    edges are padded by reflection and the output is cropped, as nodes of this very program. `training` is there where
    the network was traced to be trained; then the constants are those of the time of tracing.
    """

    nodes: tuple[Node, ...]
    values: tuple[Value, ...]
    constants: dict[str, torch.Tensor]
    input: int
    output: int
    divisor: Divisor = 1
    refusals: tuple[Refusal, ...] = field(default=())
    training: TrainingConstants | None = None

    @property
    def ndim(self) -> int:
        return len(self.values[self.input].domain)

    @property
    def users(self) -> dict[int, list[Node]]:
        """For each value the nodes that read it."""
        readers: dict[int, list[Node]] = {i: [] for i in range(len(self.values))}
        for node in self.nodes:
            for i in node.inputs:
                readers[i].append(node)
        return readers


def check(program: Program) -> None:
    """Every value is made once, before it is read, and the output is among them."""
    made = {program.input}
    for node in program.nodes:
        missing = [i for i in node.inputs if i not in made]
        if missing or node.output in made:
            raise AssertionError(
                f"{node.operator} at {node.path!r} reads {missing} before they are made, or makes {node.output} twice"
            )
        made.add(node.output)
    if program.output not in made:
        raise AssertionError("the program never makes its output")
