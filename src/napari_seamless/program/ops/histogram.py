"""How often values occur in bins of equal width, over the whole plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from napari_seamless.program.ops.barrier import State, Summed, small
from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.reduce import common
from napari_seamless.program.ops.request import Built, Operator, Operators, Request, Unsupported
from napari_seamless.program.spans import Box


@dataclass(frozen=True)
class Histogram(Summed):
    """State: the number of elements in each of `bins` bins from `low` to `high`."""

    bins: int
    low: float
    high: float

    @property
    def has_gradient(self) -> bool:
        return False

    def partial(self, inputs: Sequence[Tensor], own: Box) -> State:
        del own
        return (small(torch.histc(inputs[0], self.bins, self.low, self.high)),)

    def pull(self, inputs: Sequence[Tensor], own: Box, state: State, cotangent: State) -> tuple[Tensor | None, ...]:
        raise NotImplementedError("counts are not trained through")


def histogram(request: Request) -> Built:
    """aten.histc(input, bins, min, max)."""
    image = request.image()
    if not any(image.value.dims):
        return stored(request, ((),))
    bins, low, high = (
        request.kwargs.get(n, request.arg(k, d)) for k, n, d in ((1, "bins", 100), (2, "min", 0), (3, "max", 0))
    )
    if low == high:
        raise Unsupported("its bins depend on the extremes of the image; give it min and max")
    return Built(Histogram(**common(request, image), bins=int(bins), low=float(low), high=float(high)), (image,), ((),))


VERDICT = "barrier"

OPERATORS: Operators = {"aten.histc.default": Operator(histogram)}
