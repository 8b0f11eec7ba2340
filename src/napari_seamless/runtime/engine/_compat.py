"""All that is used of torch here without being public, each with what happens where it is missing.

A test takes each away in turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from napari_seamless.errors import TraceFailed

INSTRUCTIONS = {torch.bfloat16: "_is_mkldnn_bf16_supported", torch.float16: "_is_mkldnn_fp16_supported"}


def _onednn() -> Any:
    return torch.ops.mkldnn


def has_fused_convolution() -> bool:
    """Whether this build of torch has oneDNN's convolution with an activation in it. Without it CPUs compute the two
    one after the other, which is slower."""
    names = ("_convolution_pointwise", "_reorder_convolution_weight")
    return torch.backends.mkldnn.is_available() and all(hasattr(_onednn(), name) for name in names)  # type: ignore[no-untyped-call]


def packed_weight(weight: Tensor, strides: Sequence[int], dilations: Sequence[int], groups: int) -> Tensor:
    """A convolution's weight in the order that oneDNN likes best. Only where `has_fused_convolution`."""
    zeros = (0,) * len(strides)
    packed: Tensor = _onednn()._reorder_convolution_weight(weight, zeros, strides, dilations, groups)
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
    result: Tensor = _onednn()._convolution_pointwise(
        x, weight, bias, pads, strides, dilations, groups, activation, list(parameters), ""
    )
    return result


def has_instructions(dtype: torch.dtype) -> bool:
    """Whether this processor multiplies values of this dtype itself, as far as torch knows it. Where torch does not
    say, it counts as not: they are multiplied in float32 then, which is slower and no less exact."""
    if dtype not in INSTRUCTIONS:
        return True
    asked = getattr(_onednn(), INSTRUCTIONS[dtype], None)
    return asked is not None and bool(asked())


try:
    from torch.utils._python_dispatch import TorchDispatchMode as TorchDispatchMode
except ImportError:

    class TorchDispatchMode:  # type: ignore[no-redef]
        """Stands in for what sees every operator. Without it memory cannot be counted tensor by tensor, so networks are
        neither run in approximate mode nor trained in tiles."""

        def __enter__(self) -> None:
            raise TraceFailed(
                "to predict memory, every operator that torch computes must be seen (torch.utils._python_dispatch); "
                f"torch {torch.__version__} does not show them; install a version that this package was tested with"
            )

        def __exit__(self, *_: object) -> None:
            """Never entered."""


def tensors_in(item: Any) -> Iterator[Tensor]:
    """All tensors in nested lists, tuples and dicts."""
    if isinstance(item, Tensor):
        yield item
    elif isinstance(item, Mapping):
        yield from tensors_in(list(item.values()))
    elif isinstance(item, list | tuple):
        for one in item:
            yield from tensors_in(one)
