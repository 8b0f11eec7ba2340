"""What every operation of a program can say and do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from napari_seamless.program.spans import Box, Dims, Span

Centre = tuple[Fraction, Fraction]
IDENTITY: Centre = (Fraction(1), Fraction(0))


@dataclass(frozen=True)
class Operation(ABC):
    """A rule and a kernel.

    `demand` is pure integer arithmetic and treats one axis at a time. `run` computes exactly the region `want` from
    inputs that hold exactly the regions that `demand` named for it, so a kernel never looks outside what it was given.
    Constants come by name from the program's table, so that an engine can keep them on its device.
    """

    @property
    def aliases(self) -> bool:
        """Whether the result may share memory with an input."""
        return False

    @property
    def constant_names(self) -> tuple[str, ...]:
        """The constants that `run` will ask for."""
        return ()

    @abstractmethod
    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        """For each input the span of `axis` that the output's `span` needs."""

    def border(self, axis: int, span: Span | None) -> Hashable:
        """What, beside sizes, makes this span's kernel differ from another's: the network's own padding in it."""
        del axis, span
        return ()

    def centre(self, axis: int) -> Centre:
        """(scale, offset): output position o of `axis` lies over position o * scale + offset of the first input."""
        del axis
        return IDENTITY

    @abstractmethod
    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        """Compute the region `want` of the output; `have[i]` is the region that `inputs[i]` holds."""

    def macs(self, shapes: Sequence[tuple[int, ...]], out: tuple[int, ...]) -> int:
        """Multiply-adds for local input shapes `shapes` and output shape `out` (convolutions and matrices only)."""
        del shapes, out
        return 0

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """Bytes of temporaries, beside inputs (`sizes` bytes each) and output, that `run` allocates on the way."""
        del have, want, sizes
        return 0


def narrow(tensor: Tensor, dims: Dims, have: Box, need: Box) -> Tensor:
    """Cut the region `need` out of a tensor that holds `have` (a view, but for flattened dimensions)."""
    if have == need:
        return tensor
    for dim, axes in enumerate(dims):
        spans = [(have[a], need[a]) for a in axes]
        if all(h == n for h, n in spans):
            continue
        if len(axes) > 1:
            tensor = _narrow_flattened(tensor, dim, spans)
            continue
        (h, n) = spans[0]
        assert h is not None
        assert n is not None
        tensor = tensor.narrow(dim, n[0] - h[0], n[1] - n[0])
    return tensor


def gathered(x: Tensor, dim: int, where: Tensor) -> Tensor:
    """`x.index_select(dim, where)`, keeping channels last in memory where they are (torch would move them first)."""
    if x.dim() < 4 or dim < 2 or x.stride(1) != 1:
        return x.index_select(dim, where)
    return x.movedim(1, -1).index_select(dim - 1, where).movedim(-1, 1)


def _narrow_flattened(tensor: Tensor, dim: int, spans: Sequence[tuple[Span | None, Span | None]]) -> Tensor:
    sizes = [h[1] - h[0] for h, _ in spans if h is not None]
    parts = tensor.reshape(*tensor.shape[:dim], *sizes, *tensor.shape[dim + 1 :])
    for k, (h, n) in enumerate(spans):
        assert h is not None
        assert n is not None
        parts = parts.narrow(dim + k, n[0] - h[0], n[1] - n[0])
    return parts.flatten(dim, dim + len(spans) - 1)


def resolve(name: str) -> torch._ops.OpOverload:
    """torch's operator of a name such as "aten.relu.default". Names travel between processes; operators do not."""
    namespace, packet, overload = name.split(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload)  # type: ignore[no-any-return]
