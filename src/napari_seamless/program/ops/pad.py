"""Padding: by a constant, which may also crop, or by pixels of the image itself."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from torch import Tensor

from napari_seamless.program.ops.index import Bordered, copy_along
from napari_seamless.program.ops.local import stored
from napari_seamless.program.ops.operation import (
    IDENTITY,
    Centre,
    LowPrecision,
    Memory,
    Operation,
)
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    ImageArgument,
    Operator,
    Operators,
    Request,
    Unsupported,
    spatial_axis,
)
from napari_seamless.program.ops.sliding import padded
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class ConstantPad(Operation):
    """Padding by a constant, or cropping where it is negative. `edges` are (axis, before, input size) by dimension.

    `dims` counts tensor dimensions from the last, as torch's pad does.
    """

    edges: tuple[tuple[int, int, int], ...]
    dims: tuple[int, ...]
    value: float

    @property
    def memory(self) -> Memory:
        return "input"

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def _edge(self, axis: int) -> tuple[int, int] | None:
        return next(((before, size) for a, before, size in self.edges if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        edge = self._edge(axis)
        if edge is None or span is None:
            return (span,)
        before, size = edge
        return (clip((span[0] - before, span[1] - before), size),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        return self._missing(axis, span) if self._edge(axis) is not None and span is not None else ()

    def centre(self, axis: int) -> Centre:
        edge = self._edge(axis)
        return IDENTITY if edge is None else (Fraction(1), Fraction(-edge[0]))

    def _missing(self, axis: int, span: Span | None) -> tuple[int, int]:
        """Constant pixels before and after what the input holds (negative: the kept single pixel is outside)."""
        edge = self._edge(axis)
        assert edge is not None
        assert span is not None
        held = self.demand(axis, span)[0]
        assert held is not None
        return held[0] - (span[0] - edge[0]), (span[1] - edge[0]) - held[1]

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, have
        pads = [(0, 0)] * max(self.dims)
        for (axis, _, _), dim in zip(self.edges, self.dims, strict=True):
            pads[-dim] = self._missing(axis, want[axis])
        if any(min(p) < 0 for p in pads):
            return self._beyond(inputs[0], pads)
        return padded(inputs[0], pads, self.value)

    def _beyond(self, x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
        """A region that lies wholly in the padding: nothing of the input is left in it."""
        first = x.dim() - len(pads)
        shape = list(x.shape[:first]) + [n + b + a for n, (b, a) in zip(x.shape[first:], pads, strict=True)]
        return x.new_full(shape, self.value)


def pad(request: Request) -> Built:
    """aten.pad(input, pads, mode, value) and aten.constant_pad_nd(input, pads, value); torch lists the last first."""
    image, amounts = request.image(), request.arg(1)
    named = request.target.startswith("aten.pad.")
    mode = request.arg(2, "constant") if named else "constant"
    value = (request.arg(3) if named else request.arg(2)) or 0.0
    rank = len(image.value.shape)
    edges = [(rank - 1 - k, amounts[2 * k]) for k in range(len(amounts) // 2) if amounts[2 * k] or amounts[2 * k + 1]]
    if any(not image.value.dims[d] for d, _ in edges):
        return _channel_pad(request, image, mode, [d for d, _ in edges])
    axes = [(spatial_axis(image.value, d), d, before) for d, before in edges]
    if mode == "constant":
        plain = tuple((a, before, image.value.shape[d]) for a, d, before in axes if a is not None)
        operation = ConstantPad(plain, tuple(rank - d for d, _ in edges), float(value))
        return Built(operation, (image,), image.value.dims)
    return copy_along(image, [(d, Bordered(image.value.shape[d], before, mode)) for _, d, before in axes])


def bordering(mode: str) -> Builder:
    """aten.reflection_pad2d(input, pads) and the like: `pad` in a mode, under a name of its own."""

    def build(request: Request) -> Built:
        args = (request.arg(0), request.arg(1), mode)
        return pad(replace(request, target="aten.pad.default", args=args, kwargs={}))

    return build


def _channel_pad(request: Request, image: ImageArgument, mode: str, dims: list[int]) -> Built:
    if mode != "constant" or any(image.value.dims[d] for d in dims):
        raise Unsupported("it pads channels and positions at once")
    return stored(request, image.value.dims)


OPERATORS: Operators = {
    "aten.pad.default": Operator(pad),
    "aten.constant_pad_nd.default": Operator(pad),
    **{f"aten.reflection_pad{n}d.default": Operator(bordering("reflect")) for n in (1, 2, 3)},
    **{f"aten.replication_pad{n}d.default": Operator(bordering("replicate")) for n in (1, 2, 3)},
}
