"""Resizing: nearest neighbours, and linear by whole factors; what is neither is a matter of weights (resample)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_seamless.program.ops.index import Index, copy_along
from napari_seamless.program.ops.layout import expand
from napari_seamless.program.ops.operation import (
    IDENTITY,
    Centre,
    LowPrecision,
    Operation,
)
from napari_seamless.program.ops.request import (
    Builder,
    Built,
    Operator,
    Operators,
    Request,
    all_spatial_axes,
)
from napari_seamless.program.ops.resample import Resample, Resize
from napari_seamless.program.spans import Box, Span, clip


@dataclass(frozen=True)
class Nearest(Index):
    """Nearest-neighbour resizing with torch's own single-precision arithmetic, so that the same pixels are chosen.

    `scale` is input pixels per output pixel as torch computes it; `exact` is mode "nearest-exact" (pixel centres).
    """

    scale: float
    exact: bool

    def sources(self, span: Span) -> Sequence[int]:
        position = torch.arange(*span, dtype=torch.float32)
        if self.exact:
            position = position + 0.5
        scale = torch.tensor(self.scale, dtype=torch.float32)
        return (position * scale).floor().to(torch.int64).clamp(max=self.size - 1).tolist()

    def demand(self, span: Span) -> Span:
        first, last = self.sources((span[0], span[0] + 1))[0], self.sources((span[1] - 1, span[1]))[0]
        return first, last + 1

    @property
    def centre(self) -> Centre:
        scale = Fraction(self.scale).limit_denominator(1 << 20)
        return scale, (scale - 1) / 2


@dataclass(frozen=True)
class Enlarge(Operation):
    """Resizing by whole factors with torch's own kernel on an aligned region: the quick way for nearest and linear.

    `factors` are (axis, dimension, factor, input size); `mode` is torch's. For linear modes a further pixel on each
    side is needed, where there is one. Source coordinates are (o + 0.5) / factor - 0.5 (align_corners=False).
    """

    factors: tuple[tuple[int, int, int, int], ...]
    mode: str

    @property
    def low_precision(self) -> LowPrecision:
        return "keeps"

    def _along(self, axis: int) -> tuple[int, int] | None:
        return next(((f, n) for a, _, f, n in self.factors if a == axis), None)

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        along = self._along(axis)
        if along is None or span is None:
            return (span,)
        factor, size = along
        if self.mode == "nearest":
            return ((span[0] // factor, (span[1] - 1) // factor + 1),)
        first = (2 * span[0] + 1 - factor) // (2 * factor)
        last = (2 * span[1] - 1 - factor) // (2 * factor) + 1
        return (clip((first, last + 1), size),)

    def border(self, axis: int, span: Span | None) -> Hashable:
        along = self._along(axis)
        if along is None or span is None:
            return ()
        held = self.demand(axis, span)[0]
        assert held is not None
        return span[0] - held[0] * along[0]

    def centre(self, axis: int) -> Centre:
        along = self._along(axis)
        if along is None:
            return IDENTITY
        return Fraction(1, along[0]), Fraction(1, 2 * along[0]) - Fraction(1, 2)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants
        corners = None if self.mode == "nearest" else False
        full = F.interpolate(
            inputs[0], scale_factor=[float(f) for _, _, f, _ in self.factors], mode=self.mode, align_corners=corners
        )
        for axis, dim, factor, _ in self.factors:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            full = full.narrow(dim, span[0] - held[0] * factor, span[1] - span[0])
        return full

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        """The surplus rim of the aligned region."""
        full, wanted = sizes[0], sizes[0]
        for axis, _, factor, _ in self.factors:
            span, held = want[axis], have[0][axis]
            assert span is not None
            assert held is not None
            full *= factor
            wanted = wanted * (span[1] - span[0]) // (held[1] - held[0])
        return max(full - wanted, 0)


def upsample(rank: int, mode: str, *, antialias: bool = False) -> Builder:
    """aten.upsample_*.vec(input, output_size, [align_corners,] scale_factors).

    Where scale factors were given, torch computes positions from them, else from the two sizes.
    """

    def build(request: Request) -> Built:
        image = request.image()
        if not any(image.value.dims) and set(image.value.shape[-rank:]) == {1}:
            return expand(request)
        axes = all_spatial_axes(image, rank, "resizes")
        takes_corners = not mode.startswith("nearest")
        corners = bool(request.arg(2, False)) if takes_corners else False
        factors = request.arg(3 if takes_corners else 2)
        sizes, out = image.value.shape[-rank:], request.shape[-rank:]
        first = len(image.value.shape) - rank
        double = image.value.dtype == torch.float64
        whole = [
            _whole_factor(n, o, factors[k] if factors else None)
            for k, (n, o) in enumerate(zip(sizes, out, strict=True))
        ]
        if not antialias and not corners and all(_aligns(mode, w) for w in whole):
            spec = tuple((axes[k], first + k, whole[k] or 1, sizes[k]) for k in range(rank))
            return Built(Enlarge(spec, _torch_mode(mode, rank)), (image,), image.value.dims)
        scales = [_scale(sizes[k], out[k], factors[k] if factors else None, corners, double) for k in range(rank)]
        if mode.startswith("nearest"):
            exact = mode == "nearest-exact"
            return copy_along(image, [(first + k, Nearest(sizes[k], scales[k], exact)) for k in range(rank)])
        kind = "cubic" if mode == "cubic" else "linear"
        resizes = [Resize(sizes[k], scales[k], kind, corners, antialias, double) for k in range(rank)]
        return Built(Resample(tuple((axes[k], first + k, resizes[k]) for k in range(rank))), (image,), image.value.dims)

    return build


def upsample_to(rank: int, mode: str, *, antialias: bool = False) -> Builder:
    """aten.upsample_*.default(input, output_size, [align_corners,] scales...), with a factor for each axis, or None."""
    build = upsample(rank, mode, antialias=antialias)

    def build_listed(request: Request) -> Built:
        given = ("self", "output_size", *(() if mode.startswith("nearest") else ("align_corners",)))
        names = (*given, *(("scales",) if rank == 1 else ("scales_d", "scales_h", "scales_w")[-rank:]))
        named = dict(zip(names, request.args, strict=False)) | request.kwargs
        factors = tuple(named.get(name) for name in names[len(given) :])
        args = (*(named.get(name) for name in given), None if None in factors else factors)
        return build(replace(request, target=request.target.replace(".default", ".vec"), args=args, kwargs={}))

    return build_listed


def _whole_factor(size: int, out: int, factor: float | None) -> int | None:
    whole = out // size
    return whole if whole * size == out and (factor is None or factor == whole) else None


def _aligns(mode: str, factor: int | None) -> bool:
    """Whether torch's kernel on a region gives the very positions it has in the whole image.

    Linear weights are rounded with the global coordinate unless the factor is a power of two.
    """
    if factor is None or mode not in ("nearest", "linear"):
        return False
    return mode == "nearest" or factor & (factor - 1) == 0


def _scale(size: int, out: int, factor: float | None, corners: bool, double: bool) -> float:
    """Input pixels per output pixel, rounded as torch rounds it."""
    dtype = torch.float64 if double else torch.float32
    if corners:
        return float(torch.tensor(size - 1, dtype=dtype) / (out - 1)) if out > 1 else 0.0
    if factor is not None and factor > 0:
        return float(torch.tensor(1.0 / factor, dtype=dtype))
    return float(torch.tensor(size, dtype=dtype) / torch.tensor(out, dtype=dtype))


def _torch_mode(mode: str, rank: int) -> str:
    return "nearest" if mode == "nearest" else {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]


KINDS = {
    **{f"upsample_nearest{n}d": (n, "nearest") for n in (1, 2, 3)},
    **{f"_upsample_nearest_exact{n}d": (n, "nearest-exact") for n in (1, 2, 3)},
    **{f"upsample_{kind}{n}d": (n, "linear") for n, kind in ((1, "linear"), (2, "bilinear"), (3, "trilinear"))},
    "upsample_bicubic2d": (2, "cubic"),
    "_upsample_bilinear2d_aa": (2, "linear"),
    "_upsample_bicubic2d_aa": (2, "cubic"),
}
"""How many axes each of them resizes, and how."""

OPERATORS: Operators = {
    f"aten.{name}.{overload}": Operator(make(rank, mode, antialias=name.endswith("_aa")))
    for name, (rank, mode) in KINDS.items()
    for overload, make in (("vec", upsample), ("default", upsample_to))
}
