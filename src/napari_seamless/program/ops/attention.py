"""Scaled dot-product attention: in windows, or to a few tokens."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.matmul import GLOBAL
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    Operator,
    Operators,
    Request,
    Unsupported,
)


@dataclass(frozen=True)
class Attention(Local):
    """A stored call of an attention."""

    @property
    def low_precision(self) -> LowPrecision:
        return "product"


def attention(request: Request) -> Built:
    """aten.scaled_dot_product_attention(query, key, value, mask, dropout, causal): in windows, or to a few tokens."""
    query, key, value = (request.image(k) for k in range(3))
    q, k, v = (i.value.dims for i in (query, key, value))
    if any((*k[-2:], *v[-2:], q[-1])):
        raise Unsupported(GLOBAL)
    if k[:-2] != v[:-2] or (any(k[:-2]) and (k[:-2] != q[:-2] or q[-2])):
        raise Unsupported("it is an attention of a kind that is not known here")
    mask = request.kwargs.get("attn_mask", request.arg(3))
    if q[-2] and request.kwargs.get("is_causal", request.arg(5, False)):
        raise Unsupported("it is an attention to earlier positions only")
    if isinstance(mask, Constant) and any(n > 1 and d for n, d in zip(mask.tensor.shape[::-1], q[::-1], strict=False)):
        raise Unsupported("it masks an attention by a constant with positions")
    return stored(request, q, Attention)


OPERATORS: Operators = {"aten.scaled_dot_product_attention.default": Operator(attention)}
