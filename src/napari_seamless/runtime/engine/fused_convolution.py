"""On CPUs: a convolution and the activation after it as one pass over memory.

oneDNN, torch's library for convolutions on CPUs, can apply an activation while a result is still in cache, with its
weights in the order it likes best. Where torch does not offer that (other processors, other builds) the program stays
as it is. Which operations are such activations, they say themselves (`Operation.activation`).

bfloat16 and float16 need instructions that not every processor has. Where they are missing, the rounded values are
multiplied and summed in float32, and the result is rounded: what the instructions give, and many times quicker than
torch's own way without them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

import torch
from torch import Tensor

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.conv import Conv
from napari_seamless.program.ops.conv_transpose import TransposedConv
from napari_seamless.program.ops.operation import Activation
from napari_seamless.program.spans import Box
from napari_seamless.runtime.engine._compat import fused_convolution, has_instructions, packed_weight

LOW = (torch.bfloat16, torch.float16)

ONEDNN = {"relu": "relu", "sigmoid": "sigmoid", "tanh": "tanh", "leaky_relu": "leaky_relu", "silu": "swish"}
"""Activations by torch's name, and their names there."""


@dataclass(frozen=True)
class FusedConv(Conv):
    """A convolution followed by the activation `fused`, by oneDNN; `weight` names the packed weight.

    With `is_wide` it is done in float32, whatever the type of its input and result.
    """

    fused: Activation | None
    features: int
    is_wide: bool

    def convolve(self, x: Tensor, pads: Sequence[int], constants: Mapping[str, Tensor]) -> Tensor:
        result = fused_convolution(
            x.float() if self.is_wide else x,
            constants[self.weight],
            constants[self.bias] if self.bias is not None else None,
            pads,
            self.strides,
            self.dilations,
            self.groups,
            ONEDNN[self.fused.name] if self.fused is not None else "none",
            self.fused.parameters if self.fused is not None else (),
        )
        return result.to(x.dtype)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """Where it is done in float32: the input and the result in that."""
        own = super().workspace(have, want, sizes)
        return own + _wide_bytes(want, sizes[0], self.features) if self.is_wide else own


@dataclass(frozen=True)
class WideTransposedConv(TransposedConv):
    """A transposed convolution of bfloat16 or float16 values done in float32; its constants are float32, too."""

    features: int

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        return super().run([inputs[0].float()], constants, have, want).to(inputs[0].dtype)

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        return super().workspace(have, want, sizes) + _wide_bytes(want, sizes[0], self.features)


def _wide_bytes(want: Box, low_input: int, features: int) -> int:
    """Float32 copies of an input of half the width and of the result, beside the result itself."""
    made = features * prod(span[1] - span[0] for span in want if span is not None)
    return max(2 * low_input - 2 * made, 0) + 4 * made


def fuse(program: Program) -> Program:
    """Replace convolutions (2-D and 3-D) by fused ones, with the activation that alone reads each of them.

    float64 ones stay; those of lower precision are done in float32 where the processor has no instructions for them.
    """
    users = program.users
    constants = dict(program.constants)
    nodes: list[Node] = []
    absorbed: set[int] = set()
    for node in program.nodes:
        if node.output in absorbed:
            continue
        if isinstance(node.operation, TransposedConv):
            nodes.append(replace(node, operation=_widened(node.operation, constants)))
            continue
        if not isinstance(node.operation, Conv) or not _fits(program, node):
            nodes.append(node)
            continue
        readers = users[node.output]
        alone = len(readers) == 1 and node.output != program.output and readers[0].inputs == (node.output,)
        activation = readers[0].operation.activation if alone else None
        if activation is not None and activation.name not in ONEDNN:
            activation = None
        output = readers[0].output if activation is not None else node.output
        absorbed.add(output)
        fused = _fused(node.operation, activation, constants)
        nodes.append(replace(node, operation=fused, output=output))
    used = {name for node in nodes for name in node.operation.constant_names}
    return replace(program, nodes=tuple(nodes), constants={k: v for k, v in constants.items() if k in used})


def _fits(program: Program, node: Node) -> bool:
    operation = node.operation
    assert isinstance(operation, Conv)
    weight = program.constants[operation.weight]
    return weight.dtype in (torch.float32, *LOW) and weight.dim() in (4, 5)


def _fused(conv: Conv, activation: Activation | None, constants: dict[str, Tensor]) -> FusedConv:
    name = f"{conv.weight} (packed)"
    order = torch.channels_last if len(conv.slides) == 2 else torch.channels_last_3d
    weight = constants[conv.weight].contiguous(memory_format=order)
    wide = not has_instructions(weight.dtype)
    bias = _in_float32(conv.bias, constants) if wide else conv.bias
    used = weight.float() if wide else weight
    constants[name] = packed_weight(used, conv.strides, conv.dilations, conv.groups)
    return FusedConv(conv.slides, name, bias, conv.groups, activation, len(weight), wide)


def _widened(conv: TransposedConv, constants: dict[str, Tensor]) -> TransposedConv:
    weight = constants[conv.weight]
    if has_instructions(weight.dtype):
        return conv
    name, bias = _in_float32(conv.weight, constants), _in_float32(conv.bias, constants)
    assert name is not None
    return WideTransposedConv(conv.stretches, name, bias, conv.groups, weight.shape[1] * conv.groups)


def _in_float32(name: str | None, constants: dict[str, Tensor]) -> str | None:
    """A constant's name, or that of its copy in float32."""
    if name is None or constants[name].dtype == torch.float32:
        return name
    wide = f"{name} (wide)"
    constants[wide] = constants[name].float()
    return wide
