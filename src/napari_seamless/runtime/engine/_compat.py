"""All that is used of torch here without being public, each with what happens where it is missing.

A test takes each away in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

INSTRUCTIONS = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


def has_fused_convolution() -> bool:
    """Whether this build of torch has oneDNN's convolution with an activation in it. Without it CPUs compute the two
    one after the other, which is slower."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(torch.ops.mkldnn, name) for name in names)  # type: ignore[no-untyped-call]


def packed_weight(weight: Tensor, strides: Sequence[int], dilations: Sequence[int], groups: int) -> Tensor:
    """A convolution's weight in the order that oneDNN likes best. Only where `has_fused_convolution`."""
    zeros = (0,) * len(strides)
    packed: Tensor = torch.ops.mkldnn._reorder_convolution_weight(weight, zeros, strides, dilations, groups)
    return packed


def fused_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    pads: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    groups: int,
    activation: str,
    parameters: Sequence[float],
) -> Tensor:
    """A convolution by a packed weight, and an activation under oneDNN's name ("none", "relu", "swish", ...)."""
    result: Tensor = torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, pads, strides, dilations, groups, activation, list(parameters), ""
    )
    return result


def has_instructions(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies values of this dtype itself, as far as torch knows it. Where torch does not
    say, it counts as not: they are multiplied in float32 then, which is slower and no less exact."""
    if dtype not in INSTRUCTIONS:
        return True
    asked = getattr(torch.ops.mkldnn, INSTRUCTIONS[dtype], None)
    return asked is not None and bool(asked())


def storage_key(tensor: Tensor) -> int:
    """What two tensors have in common while they share memory. Where torch does not number its storages, it is their
    address, of which a tensor without memory has none: each fake one counts for itself then."""
    storage: Any = tensor.untyped_storage()
    number = getattr(storage, "_cdata", None)
    if number is not None:
        return int(number)
    return storage.data_ptr() or id(tensor)
