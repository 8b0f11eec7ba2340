"""Matrix products: by a constant, of two images within positions, and summed over positions (Gram matrices)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor

from napari_seamless.program.ops.barrier import State, Summed, small
from napari_seamless.program.ops.local import Local, stored
from napari_seamless.program.ops.operation import (
    LowPrecision,
)
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
)
from napari_seamless.program.spans import Box

FROM_DIFFERENCES = 2
"""torch's number for distances that are not taken from products."""

LONG_RUN = 1024
"""Positions that a matrix product sums over in its own dtype."""

GLOBAL = "it is a product of positions with positions (attention), which needs the whole image at once"


@dataclass(frozen=True)
class Product(Local):
    """A stored call of a matrix product."""

    @property
    def low_precision(self) -> LowPrecision:
        return "product"

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        return shapes[0][-1] * prod(out)


@dataclass(frozen=True)
class Contraction(Summed):
    """A matrix product that sums over positions: (..., a, positions) @ (..., positions, b), as in Gram matrices."""

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        left, right = inputs
        length = left.shape[-1]
        cut = length // LONG_RUN * LONG_RUN
        total = small(left[..., cut:] @ right[..., cut:, :])
        if cut:
            runs = left[..., :cut].reshape(*left.shape[:-1], -1, LONG_RUN).movedim(-2, 0)
            others = right[..., :cut, :].reshape(*right.shape[:-2], -1, LONG_RUN, right.shape[-1]).movedim(-3, 0)
            total += small(runs @ others).sum(0)
        return (total,)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        del own, state
        left, right = inputs
        given = cotangent[0].to(left.dtype).to(left.device)
        return given @ right.transpose(-1, -2), left.transpose(-1, -2) @ given


def linear(request: Request) -> Built:
    """A matrix along the last dimension; the matrix must be a constant."""
    image = request.image()
    request.constant(1, "matrix")
    if len(image.value.shape) < 2 or image.value.dims[-1]:
        raise Unsupported("it is a matrix product over positions, so every region needs the whole image")
    return stored(request, image.value.dims, Product)


def matmul(request: Request) -> Built:
    """Products of two image-dependent matrices where one dimension is positions; both as positions is attention."""
    left, right = request.arg(0), request.arg(1)
    if not isinstance(left, ImageArgument) or not isinstance(right, ImageArgument):
        return _by_constant(request)
    a, b = left.value.dims, right.value.dims
    if len(a) == len(b) and any(a[:-2]) and a[:-2] == b[:-2] and not any((*a[-2:], *b[-2:])):
        return stored(request, a, Product)
    if len(a) != len(b) or any(a[:-2]) or any(b[:-2]):
        raise Unsupported("it is a product of two image-dependent matrices of a kind that is not known here")
    if a[-1] and b[-2] and not a[-2] and not b[-1]:
        return _contraction(request, left, right)
    if a[-1] or b[-2] or (a[-2] and b[-1]):
        raise Unsupported(GLOBAL)
    return stored(request, (*((),) * (len(a) - 2), a[-2], b[-1]), Product)


def _by_constant(request: Request) -> Built:
    left, right = request.arg(0), request.arg(1)
    image, other = (left, right) if isinstance(left, ImageArgument) else (right, left)
    dims, summed = image.value.dims, -1 if image is left else -2
    alike = other.tensor.dim() == len(dims) and not any(dims[:-2])
    if len(dims) < 2 or dims[summed] or not (other.tensor.dim() == 2 or alike):
        raise Unsupported("it is a matrix product over positions with a constant")
    return stored(request, dims, Product)


def _contraction(request: Request, left: ImageArgument, right: ImageArgument) -> Built:
    if left.value.dims[-1] != right.value.dims[-2] or left.value.domain != right.value.domain:
        raise Unsupported("it sums over positions of two different grids")
    shape, dtype = request.shape, request.dtype
    barrier = Contraction((left.value.dims, right.value.dims), left.value.domain, shape, dtype)
    return Built(barrier, (left, right), ((),) * len(shape))


def distances(request: Request) -> Built:
    """aten.cdist(input, other, p, mode): of each position's channels from a constant list of points.

    Always from differences: torch would choose by how many positions there are.
    """
    image, points = request.image(), request.arg(1)
    if not isinstance(points, Constant):
        raise Unsupported(GLOBAL)
    dims = image.value.dims
    if dims[-1] or (points.tensor.dim() > 2 and any(n > 1 for n in points.tensor.shape[:-2])):
        raise Unsupported("it measures distances of another kind than of channels")
    args = (image, points, float(request.arg(2, 2.0)), FROM_DIFFERENCES)
    return stored(request, (*dims[:-1], ()), args=args)


OPERATORS: Operators = {
    "aten.cdist.default": Operator(distances),
    "aten.linear.default": Operator(linear),
    "aten.matmul.default": Operator(matmul),
    "aten.mm.default": Operator(matmul),
    "aten.bmm.default": Operator(matmul),
}
