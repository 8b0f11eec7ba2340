"""Which local operators have an in-place twin in torch."""

from __future__ import annotations

import torch

from napari_seamless.program.ops.local import Local, Slot

OVERWRITING = frozenset({
    "relu", "relu6", "sigmoid", "tanh", "silu", "hardswish", "hardsigmoid", "hardtanh", "leaky_relu", "elu", "selu",
    "celu", "mish", "clamp", "clamp_min", "clamp_max", "add", "sub", "mul", "div", "neg", "sqrt", "rsqrt", "exp", "log",
    "abs", "square", "pow", "floor", "round",
})  # fmt: skip


def in_place_twin(operation: Local) -> str | None:
    """torch's name of the operator that writes its result over its first input, or None."""
    namespace, packet, overload = operation.target.split(".")
    if packet not in OVERWRITING or operation.part is not None or not operation.args or operation.args[0] != Slot(0):
        return None
    twin = getattr(getattr(torch.ops, namespace), packet + "_", None)
    return f"{namespace}.{packet}_.{overload}" if twin is not None and overload in twin.overloads() else None
