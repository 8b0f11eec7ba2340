"""A TorchScript graph, walked in Python, so that torch.export can follow it.

TorchScript runs in an interpreter of its own that export cannot look into. Its graphs are simple: constants, calls of
torch's operators, lists, tuples, branches and loops. Walked one node after another they make the same calls, with the
same numbers, and are traced like any module.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from napari_seamless.errors import ModelError
from napari_seamless.models._compat import require_schemas, schema_of

Known = dict[str, Any]


class ScriptGraph(nn.Module):
    """A frozen TorchScript module of one input and one output; its weights are buffers `weight_0`, `weight_1`, ...

    Raises ModelError where a node cannot be walked; whether numbers decide about branches shows when it is traced.
    """

    def __init__(self, script: torch.jit.ScriptModule) -> None:
        super().__init__()
        require_schemas()
        self._graph = script.graph
        self._names: dict[str, str] = {}
        for node in _all_nodes(self._graph):
            if not _is_known(node):
                raise ModelError(f"a TorchScript node must be one of torch's operators; got {node.kind()}")
            if node.kind() == "prim::Constant" and isinstance(value := _constant(node), torch.Tensor):
                name = f"weight_{len(self._names)}"
                self._names[node.output().debugName()] = name
                self.register_buffer(name, value.detach())

    def forward(self, x: torch.Tensor) -> Any:
        """What the module computes: one tensor mostly."""
        _, image = self._graph.inputs()
        (found,) = self._walk(self._graph, {image.debugName(): x})
        return found

    def _walk(self, block: Any, known: Known) -> list[Any]:
        """Values of a block's outputs; `known` gets those of its nodes."""
        for node in block.nodes():
            results = self._results(node, known)
            for output, value in zip(node.outputs(), results, strict=True):
                known[output.debugName()] = value
        return [known[value.debugName()] for value in block.outputs()]

    def _results(self, node: Any, known: Known) -> Sequence[Any]:
        kind = node.kind()
        inputs = [known[value.debugName()] for value in node.inputs()]
        match kind:
            case "prim::Constant":
                name = self._names.get(node.output().debugName())
                return [_constant(node) if name is None else getattr(self, name)]
            case "prim::If":
                taken, other = node.blocks()
                return self._walk(taken if bool(inputs[0]) else other, known)
            case "prim::Loop":
                return self._loop(node, inputs, known)
            case "prim::RaiseException":
                raise ValueError(str(inputs[0]))
            case "prim::ListUnpack" | "prim::TupleUnpack":
                return list(inputs[0])
        if kind in STRUCTURE:
            return [STRUCTURE[kind](inputs)]
        return _called(node, inputs)

    def _loop(self, node: Any, inputs: list[Any], known: Known) -> list[Any]:
        most, goes_on, *carried = inputs
        (body,) = node.blocks()
        names = [value.debugName() for value in body.inputs()]
        turn = 0
        while turn < most and bool(goes_on):
            known.update(zip(names, [turn, *carried], strict=True))
            goes_on, *carried = self._walk(body, known)
            turn += 1
        return carried


def _last(values: list[Any]) -> Any:
    return values[0]


STRUCTURE: Mapping[str, Callable[[list[Any]], Any]] = MappingProxyType(
    {
        "prim::ListConstruct": list,
        "prim::TupleConstruct": tuple,
        "prim::Uninitialized": lambda _: None,
        "prim::unchecked_cast": _last,
        "prim::unchecked_unwrap_optional": _last,
        "aten::_unwrap_optional": _last,
        "prim::NumToTensor": _last,
        "prim::TupleIndex": lambda values: values[0][values[1]],
        "aten::__is__": lambda values: values[0] is values[1],
        "aten::__isnot__": lambda values: values[0] is not values[1],
        "aten::__not__": lambda values: not values[0],
        "aten::warn": lambda _: None,
        "prim::dtype": lambda values: values[0].dtype,
        "prim::device": lambda values: values[0].device,
        "prim::is_cuda": lambda values: values[0].is_cuda,
        "prim::min": lambda values: min(*values),
        "prim::max": lambda values: max(*values),
        "aten::format": lambda values: str(values[0]).format(*values[1:]),
    }
)
"""What is neither one of torch's operators nor control of the flow."""

SCALARS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "add": operator.add,
        "sub": operator.sub,
        "mul": operator.mul,
        "div": operator.truediv,
        "floordiv": operator.floordiv,
        "remainder": operator.mod,
        "neg": operator.neg,
        "eq": operator.eq,
        "ne": operator.ne,
        "lt": operator.lt,
        "le": operator.le,
        "gt": operator.gt,
        "ge": operator.ge,
        "__getitem__": operator.getitem,
        "__contains__": operator.contains,
        "__and__": operator.and_,
        "__or__": operator.or_,
        "len": len,
        "list": list,
        "Int": int,
        "Float": float,
        "Bool": bool,
        "ScalarImplicit": _last,
        "IntImplicit": int,
        "FloatImplicit": float,
    }
)
"""Operators of numbers and lists."""


LISTS = ("append", "reverse", "pop", "extend", "insert", "clear", "index", "count")
"""What is done to lists, by Python's own names."""


def _called(node: Any, inputs: list[Any]) -> list[Any]:
    """The results of one of torch's operators."""
    name = node.kind().removeprefix("aten::")
    tensors = any(isinstance(value, torch.Tensor) for value in _flat(inputs))
    if name in SCALARS and (not tensors or isinstance(inputs[0], list | tuple)):
        return [_scalar(name, inputs)]
    if name == "size" and len(inputs) == 1:
        return [list(inputs[0].shape)]
    if name == "slice" and isinstance(inputs[0], list):
        first, last, step = inputs[1:]
        return [inputs[0][first:last:step]]
    if name in ("dim", "numel", "is_floating_point"):
        return [getattr(inputs[0], name)()]
    if name in LISTS:
        result = getattr(inputs[0], name)(*inputs[1:])
        return [inputs[0] if name == "append" else result][: node.outputsSize()]
    if name in ("Int", "Float", "ScalarImplicit", "Bool") and tensors:
        return [inputs[0].item()]
    found = _operator(node, name, inputs)
    return list(found) if node.outputsSize() > 1 else [found]


def _scalar(name: str, inputs: list[Any]) -> Any:
    if name in ("add", "sub") and len(inputs) == 3:
        # as of tensors: the last is a factor of the second
        return SCALARS[name](inputs[0], inputs[1] * inputs[2])
    return SCALARS[name](*inputs)


def _operator(node: Any, name: str, inputs: list[Any]) -> Any:
    if name in ("_convolution", "_convolution_mode") and len(inputs) > 9:
        return torch.ops.aten.convolution.default(*inputs[:9])
    if name.startswith(("upsample_", "_upsample_")) and "scale_factors" not in node.schema():
        return _upsampled(name, inputs)
    schema = schema_of(node.schema())
    overload = getattr(getattr(torch.ops.aten, name), schema.overload_name or "default")
    # TorchScript gives all arguments by position, torch from Python only some
    named = {a.name: value for a, value in zip(schema.arguments, inputs, strict=True) if a.kwarg_only}
    return overload(*inputs[: len(inputs) - len(named)], **named)


def _upsampled(name: str, inputs: list[Any]) -> torch.Tensor:
    """By the form of the operator that takes factors in a list, which is the one that export knows."""
    x, size, *rest = inputs
    ndim = x.dim() - 2
    factors, flags = rest[-ndim:], rest[:-ndim]
    given = None if any(factor is None for factor in factors) else factors
    packet = getattr(torch.ops.aten, name)
    result: torch.Tensor = packet.vec(x, None if given else size, *flags, given)
    return result


def _constant(node: Any) -> Any:
    """The value of a constant node; None for None."""
    return node.output().toIValue()


def _is_known(node: Any) -> bool:
    kind = node.kind()
    if kind in STRUCTURE or kind in CONTROL:
        return True
    name = kind.removeprefix("aten::")
    return kind.startswith("aten::") and (name in {*SCALARS, *DIRECT, *LISTS} or hasattr(torch.ops.aten, name))


CONTROL = ("prim::Constant", "prim::If", "prim::Loop", "prim::RaiseException", "prim::ListUnpack", "prim::TupleUnpack")
DIRECT = ("size", "slice", "dim", "numel", "is_floating_point")


def _all_nodes(block: Any) -> list[Any]:
    found = []
    for node in block.nodes():
        found.append(node)
        for inner in node.blocks():
            found.extend(_all_nodes(inner))
    return found


def _flat(values: Sequence[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
