"""Sampling an image at the positions of a fixed grid: warps and rotations that are the same for every image.

Which input rows a region of the result needs is read off the grid once: for each output row (column) the first and the
last input row (column) that any of its samples touches. That is exact along the axes of a stretched or bent grid, and
generous for a turned one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from napari_seamless.program.ops.constant_image import ConstantImage
from napari_seamless.program.ops.operation import LowPrecision, Operation
from napari_seamless.program.ops.request import (
    Built,
    Constant,
    Operator,
    Operators,
    Pending,
    Request,
    Unsupported,
    all_spatial_axes,
)
from napari_seamless.program.spans import Box, Dims, Span

Kind = Literal["bilinear", "nearest", "bicubic"]
KINDS: tuple[Kind, ...] = ("bilinear", "nearest", "bicubic")
PADDINGS = ("zeros", "border", "reflection")
SHARPNESS = -0.75
"""Of torch's cubic kernel."""


@dataclass(frozen=True)
class Lookup:
    """One axis of a sampling: from coordinates in -1..1 to input pixels, of which there are `size`.

    `padding` says what lies outside, as `F.grid_sample` has it.
    """

    size: int
    kind: Kind
    padding: str
    align_corners: bool

    def taps(self, coordinates: Tensor) -> tuple[Tensor, Tensor]:
        """(pixels, weights), each with a last dimension of taps; the weight of a pixel outside is 0, and it is moved
        inside."""
        scale = self.size - 1 if self.align_corners else self.size
        at = (coordinates + 1) / 2 * scale - (0 if self.align_corners else 0.5)
        if self.kind != "bicubic":
            at = self._bounded(at)
        pixels, weights = getattr(self, f"_{self.kind}")(at)
        if self.kind == "bicubic":
            pixels = self._bounded(pixels)
        pixels = pixels.round()
        inside = (pixels >= 0) & (pixels <= self.size - 1)
        return pixels.clamp(0, self.size - 1).long(), torch.where(inside, weights, 0.0)

    def _bounded(self, at: Tensor) -> Tensor:
        if self.padding == "zeros":
            return at
        if self.padding == "reflection":
            at = self._reflected(at)
        return at.clamp(0, self.size - 1)

    def _reflected(self, at: Tensor) -> Tensor:
        low, high = (0.0, self.size - 1.0) if self.align_corners else (-0.5, self.size - 0.5)
        span = high - low
        if span == 0:
            return torch.zeros_like(at)
        away = (at - low).abs()
        turns, rest = torch.floor(away / span), torch.fmod(away, span)
        return torch.where(turns % 2 == 0, rest + low, span - rest + low)

    @staticmethod
    def _nearest(at: Tensor) -> tuple[Tensor, Tensor]:
        return at.round()[..., None], torch.ones_like(at)[..., None]

    @staticmethod
    def _bilinear(at: Tensor) -> tuple[Tensor, Tensor]:
        low = at.floor()
        part = at - low
        return torch.stack([low, low + 1], -1), torch.stack([1 - part, part], -1)

    @staticmethod
    def _bicubic(at: Tensor) -> tuple[Tensor, Tensor]:
        low = at.floor()
        offsets = torch.arange(-1, 3, device=at.device, dtype=at.dtype)
        away = ((at - low)[..., None] - offsets).abs()
        near = ((SHARPNESS + 2) * away - (SHARPNESS + 3)) * away * away + 1
        far = ((SHARPNESS * away - 5 * SHARPNESS) * away + 8 * SHARPNESS) * away - 4 * SHARPNESS
        return low[..., None] + offsets, torch.where(away <= 1, near, far)


@dataclass(frozen=True)
class GridSample(Operation):
    """Inputs: the image, (1, c, y, x), and a region's part of the grid, (1, y, x, 2) of x and y coordinates in -1..1.

    `axes` are those of y and x, `lookups` theirs, and `reads` for each of them, and each output position along it, the
    first and the last input pixel that is touched.
    """

    axes: tuple[int, int]
    lookups: tuple[Lookup, Lookup]
    reads: tuple[tuple[tuple[int, int], ...], tuple[tuple[int, int], ...]]

    @property
    def low_precision(self) -> LowPrecision:
        return "rounds"

    def demand(self, axis: int, span: Span | None) -> tuple[Span | None, ...]:
        if span is None or axis not in self.axes:
            return (span, span)
        rows = self.reads[self.axes.index(axis)][span[0] : span[1]]
        return ((min(lo for lo, _ in rows), max(hi for _, hi in rows) + 1), span)

    def run(self, inputs: Sequence[Tensor], constants: Mapping[str, Tensor], have: Sequence[Box], want: Box) -> Tensor:
        del constants, want
        x, grid = inputs[0], inputs[1][0]
        (rows, down), (columns, across) = (lookup.taps(grid[..., 1 - k]) for k, lookup in enumerate(self.lookups))
        first = [span[0] if span is not None else 0 for span in (have[0][axis] for axis in self.axes)]
        flat, width = x.flatten(2), x.shape[-1]
        total = x.new_zeros(*x.shape[:2], *grid.shape[:2])
        for i in range(rows.shape[-1]):
            for j in range(columns.shape[-1]):
                at = (rows[..., i] - first[0]) * width + columns[..., j] - first[1]
                part = flat.index_select(2, at.flatten()).reshape(*flat.shape[:2], *at.shape)
                total = total + part * (down[..., i] * across[..., j]).to(x.dtype)
        return total

    def workspace(self, have: Sequence[Box], want: Box, sizes: Sequence[int]) -> int:
        del have, want
        return 3 * max(sizes)


def sample(request: Request) -> Built:
    """aten.grid_sampler(input, grid, kind, padding, align_corners)."""
    image, grid = request.image(), request.arg(1)
    if not isinstance(grid, Constant):
        raise Unsupported(
            "its grid is computed from the image, so that a region may need any other; fixed grids are known"
        )
    if len(image.value.shape) != 4 or image.value.shape[0] != 1:
        raise Unsupported("it samples a volume, or several images at once; one plane is known")
    y, x = all_spatial_axes(image, 2, "samples")
    kind, padding, corners = KINDS[request.arg(2, 0)], PADDINGS[request.arg(3, 0)], bool(request.arg(4, False))
    sizes = image.value.shape[2:]
    lookups = Lookup(sizes[0], kind, padding, corners), Lookup(sizes[1], kind, padding, corners)
    dims: Dims = ((), (y,), (x,), ())
    domain: list[int | None] = [None] * request.ndim
    domain[y], domain[x] = request.shape[2:]
    part = Built(ConstantImage(grid.name, dims, tuple(domain)), (), dims, tuple(domain))
    pending = Pending(part, tuple(grid.tensor.shape), grid.tensor.dtype)
    operation = GridSample(
        (y, x), lookups, (_reads(lookups[0], grid.tensor[0], 0), _reads(lookups[1], grid.tensor[0], 1))
    )
    return Built(operation, (image, pending), image.value.dims)


def _reads(lookup: Lookup, grid: Tensor, k: int) -> tuple[tuple[int, int], ...]:
    """For each output row (k = 0) or column (k = 1) the first and last input row or column that is touched."""
    pixels, _ = lookup.taps(grid[..., 1 - k])
    over = (1 - k, 2)
    return tuple(zip(pixels.amin(over).tolist(), pixels.amax(over).tolist(), strict=True))


def affine(request: Request) -> Built:
    """aten.affine_grid_generator(map, size, align_corners): a constant where its map is one."""
    raise Unsupported(f"the map of {request.target} is computed from the image, so that its grid is; use a fixed one")


OPERATORS: Operators = {
    "aten.grid_sampler.default": Operator(sample),
    "aten.grid_sampler_2d.default": Operator(sample),
    "aten.affine_grid_generator.default": Operator(affine),
}
