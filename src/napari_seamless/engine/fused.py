"""On CPUs: a convolution and the activation after it as one pass over memory.

oneDNN, torch's library for convolutions on CPUs, can apply an activation while a result is still in cache, with its
weights in the order it likes best. torch offers that as `mkldnn::_convolution_pointwise`, which its own compiler uses.
Where it is missing (other processors, other builds) the program stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from napari_seamless.program.graph import Node, Program
from napari_seamless.program.ops.conv import Conv
from napari_seamless.program.ops.local import Local, Slot

ACTIVATIONS = {"aten.relu.default": "relu", "aten.sigmoid.default": "sigmoid", "aten.tanh.default": "tanh",
               "aten.leaky_relu.default": "leaky_relu", "aten.silu.default": "swish"}  # fmt: skip


@dataclass(frozen=True)
class FusedConv(Conv):
    """A convolution followed by `activation` ("none", "relu", ...), by oneDNN; `weight` names the packed weight."""

    activation: str
    scalars: tuple[float, ...]

    def convolve(self, x: Tensor, pads: Sequence[int], constants: Mapping[str, Tensor]) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(  # type: ignore[no-any-return]
            x,
            constants[self.weight],
            constants[self.bias] if self.bias is not None else None,
            pads,
            self.strides,
            self.dilations,
            self.groups,
            self.activation,
            list(self.scalars),
            "",
        )


def can_fuse() -> bool:
    """Whether this build of torch has the fused convolution."""
    return torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_convolution_pointwise")  # type: ignore[no-untyped-call]


def fuse(program: Program) -> Program:
    """Replace float32 convolutions (2-D and 3-D) by fused ones, with the activation that alone reads each of them."""
    users = program.users
    constants = dict(program.constants)
    nodes: list[Node] = []
    absorbed: set[int] = set()
    for node in program.nodes:
        if node.output in absorbed:
            continue
        if not isinstance(node.operation, Conv) or not _fits(program, node):
            nodes.append(node)
            continue
        readers = users[node.output]
        alone = len(readers) == 1 and node.output != program.output and readers[0].inputs == (node.output,)
        activation = _activation(readers[0]) if alone else None
        name, scalars = activation or ("none", ())
        output = readers[0].output if activation else node.output
        absorbed.add(output)
        fused = _fused(node.operation, name, scalars, constants)
        nodes.append(replace(node, operation=fused, output=output))
    used = {name for node in nodes for name in node.operation.constant_names}
    return replace(program, nodes=tuple(nodes), constants={k: v for k, v in constants.items() if k in used})


def _fits(program: Program, node: Node) -> bool:
    operation = node.operation
    assert isinstance(operation, Conv)
    weight = program.constants[operation.weight]
    return weight.dtype == torch.float32 and weight.dim() in (4, 5)


def _activation(node: Node) -> tuple[str, tuple[float, ...]] | None:
    operation = node.operation
    if not isinstance(operation, Local) or operation.args[:1] != (Slot(0),) or operation.target not in ACTIVATIONS:
        return None
    slope = (float(operation.args[1]) if len(operation.args) > 1 else 0.01,)
    return ACTIVATIONS[operation.target], slope if operation.target.startswith("aten.leaky_relu") else ()


def _fused(conv: Conv, activation: str, scalars: tuple[float, ...], constants: dict[str, Tensor]) -> FusedConv:
    name = f"{conv.weight} (packed)"
    order = torch.channels_last if len(conv.slides) == 2 else torch.channels_last_3d
    weight = constants[conv.weight].contiguous(memory_format=order)
    zeros = (0,) * len(conv.slides)
    constants[name] = torch.ops.mkldnn._reorder_convolution_weight(
        weight, zeros, conv.strides, conv.dilations, conv.groups
    )
    return FusedConv(conv.slides, name, conv.bias, conv.groups, activation, scalars)
