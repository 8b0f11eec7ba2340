"""Builders for products of two values that depend on the image: Gram matrices, linear attention, windows, refusals."""

from __future__ import annotations

from napari_seamless.program.ops.barrier import Contraction
from napari_seamless.program.ops.build_local import stored
from napari_seamless.program.ops.request import Built, Constant, ImageArgument, Request, Unsupported

GLOBAL = "it is a product of positions with positions (attention), which needs the whole image at once"


def matmul(request: Request) -> Built:
    """Products of two image-dependent matrices where one dimension is positions; both as positions is attention."""
    left, right = request.arg(0), request.arg(1)
    if not isinstance(left, ImageArgument) or not isinstance(right, ImageArgument):
        return _by_constant(request)
    a, b = left.value.dims, right.value.dims
    if len(a) == len(b) and any(a[:-2]) and a[:-2] == b[:-2] and not any((*a[-2:], *b[-2:])):
        return stored(request, a)
    if len(a) != len(b) or any(a[:-2]) or any(b[:-2]):
        raise Unsupported("it is a product of two image-dependent matrices of a kind that is not known here")
    if a[-1] and b[-2] and not a[-2] and not b[-1]:
        return _contraction(request, left, right)
    if a[-1] or b[-2] or (a[-2] and b[-1]):
        raise Unsupported(
            "it is a product of positions with positions (attention), which needs the whole image at once"
        )
    return stored(request, (*((),) * (len(a) - 2), a[-2], b[-1]))


def _by_constant(request: Request) -> Built:
    left, right = request.arg(0), request.arg(1)
    image, other = (left, right) if isinstance(left, ImageArgument) else (right, left)
    dims, summed = image.value.dims, -1 if image is left else -2
    alike = other.tensor.dim() == len(dims) and not any(dims[:-2])
    if len(dims) < 2 or dims[summed] or not (other.tensor.dim() == 2 or alike):
        raise Unsupported("it is a matrix product over positions with a constant")
    return stored(request, dims)


def _contraction(request: Request, left: ImageArgument, right: ImageArgument) -> Built:
    if left.value.dims[-1] != right.value.dims[-2] or left.value.domain != right.value.domain:
        raise Unsupported("it sums over positions of two different grids")
    shape, dtype = request.shape, request.dtype
    barrier = Contraction((left.value.dims, right.value.dims), left.value.domain, shape, dtype)
    return Built(barrier, (left, right), ((),) * len(shape))


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
    return stored(request, q)
