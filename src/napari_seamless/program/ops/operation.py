"""What every operation of a program can say and do: its rule, its kernel, and its traits.

A trait is what other parts of the program want to know of an operation: where its result lies in memory, what it does
in reduced precision, whether it can be computed over its input. Every trait has an answer here that is always safe, so
that a new operation states only those in which it is special.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import torch
from torch import Tensor

from napari_seamless.program.spans import Box, Dims, Span

Centre = tuple[Fraction, Fraction]
IDENTITY: Centre = (Fraction(1), Fraction(0))

Memory = Literal["own", "input", "constant", "saved"]
"""Where a result lies: in memory of its own; perhaps in its first input's; in a constant's, or where many positions
share one (which costs nothing and is never written to); or where a saved activation lies (never written to either)."""

LowPrecision = Literal["float32", "product", "keeps", "rounds", "reads"]
"""What an operation does in a program of bfloat16 or float16. It takes and gives float32; it is a product, whose inputs
are rounded and whose result is in the low type; it keeps the type that it gets; it takes low values, works in float32
and rounds its result; or it only reads values of any type, and gives what it always gives."""


@dataclass(frozen=True)
class Activation:
    """A function of single elements, under torch's name ("relu", "leaky_relu", ...), with its numbers."""

    name: str
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True)
class Operation(ABC):
    """A rule and a kernel.

    `demand` is pure integer arithmetic and treats one axis at a time. `run` computes exactly the region `want` from
    inputs that hold exactly the regions that `demand` named for it, so a kernel never looks outside what it was given.
    Constants come by name from the program's table, so that an engine can keep them on its device.
    """

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

    # memory

    @property
    def memory(self) -> Memory:
        """Where the result lies."""
        return "own"

    @property
    def copies_parts(self) -> bool:
        """Whether `run` first copies an input that is a part of a larger tensor."""
        return False

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """Bytes of temporaries, beside inputs (`sizes` bytes each) and output, that `run` allocates on the way."""
        del have, want, sizes
        return 0

    @property
    def can_overwrite(self) -> bool:
        """Whether there is a way to compute it over its first input, where that has the result's shape and dtype."""
        return False

    def overwrite(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], want: Box) -> Tensor:
        """As `run`, over the first input's memory. Only called where `can_overwrite` says so."""
        raise NotImplementedError(f"{type(self).__name__} cannot be computed in place")

    # precision

    @property
    def low_precision(self) -> LowPrecision:
        """What it does in a program of bfloat16 or float16."""
        return "float32"

    def in_dtype(self, dtype: torch.dtype, name_of: Callable[[str], str]) -> Operation:
        """The operation on values of another dtype; `name_of` gives a constant's name in it for its own name."""
        del dtype, name_of
        return self

    # what may be left out, or done together with another

    @property
    def is_copy(self) -> bool:
        """Whether the result is the input, in memory of its own: needless where nothing is shared."""
        return False

    @property
    def stops_gradient(self) -> bool:
        """Whether gradients end here."""
        return False

    @property
    def activation(self) -> Activation | None:
        """What it does to each element of its only input, if a convolution's kernel may do that in the same go."""
        return None

    def channel_affine(self, constants: Mapping[str, Tensor]) -> tuple[Tensor, Tensor] | None:
        """(scale, shift), (channels,) float64 each, if all that it does is to scale and shift channels."""
        del constants
        return None

    def then_affine(
        self, scale: Tensor, shift: Tensor, constants: Mapping[str, Tensor], suffix: str
    ) -> tuple[Operation, dict[str, Tensor]] | None:
        """This operation with its result's channels scaled and shifted, and the new constants it needs; None if it
        cannot do that itself. The names of the new constants end in `suffix`."""
        del scale, shift, constants, suffix
        return None


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
