"""The oracle: the whole image in plain torch, and the same image tile by tile through the engine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from napari_seamless.geometry import Grid, Region, cells_of
from napari_seamless.program.divisor import Divisor
from napari_seamless.program.graph import Program
from napari_seamless.program.ops.barrier import State
from napari_seamless.program.ops.gather import Gathered
from napari_seamless.program.ops.operation import narrow
from napari_seamless.program.passes import plan_passes, settle
from napari_seamless.program.region_program import RegionPrograms
from napari_seamless.program.spans import Box
from napari_seamless.program.trace import Padded, trace
from napari_seamless.program.value import Value
from napari_seamless.runtime.engine import TorchEngine
from napari_seamless.runtime.engine.run_region import run_region


def whole(network: nn.Module, image: Tensor, divisor: Divisor = 1) -> Tensor:
    """The network on the whole image, in plain torch. Padding to a divisor is the only thing of ours in it."""
    with torch.no_grad():
        return (network if divisor == 1 else Padded(network, divisor))(image)


@dataclass
class Tiled:
    """A network traced for one image, to be computed in any tiles."""

    program: Program
    image: Tensor
    fast: bool = True

    def __post_init__(self) -> None:
        self.engine = TorchEngine(self.program, "cpu", fast=self.fast)

    @classmethod
    def of(cls, network: nn.Module, image: Tensor, *, fast: bool = True) -> Tiled:
        return cls(trace(network, tuple(image.shape), dtype=image.dtype), image, fast)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.program.values[self.program.output].shape[-self.program.ndim :]

    def region(self, write: Region) -> np.ndarray:
        return self.engine.compute(self.engine.tile(write), self.read, lambda: False)

    def read(self, region: Region) -> np.ndarray:
        return self.image[0][(slice(None), *region.slices())].numpy()

    def in_tiles(self, *edges: int) -> np.ndarray:
        """All tiles, put together: (c, *shape)."""
        cell = edges * len(self.shape) if len(edges) == 1 else edges
        grid = Grid(self.shape, cell)
        parts = [(grid.region(i), self.region(grid.region(i))) for i in cells_of(Region.from_shape(grid.counts))]
        full = np.empty((parts[0][1].shape[0], *self.shape), parts[0][1].dtype)
        for write, pixels in parts:
            full[(slice(None), *write.slices())] = pixels
        return full


def relative_error(found: np.ndarray, expected: Tensor) -> float:
    """Largest difference as a share of the largest value."""
    reference = expected.numpy().reshape(found.shape).astype(np.float64)
    return float(np.abs(found.astype(np.float64) - reference).max() / max(np.abs(reference).max(), 1e-12))


Keep = Sequence[Iterable[int]]


def by_passes(program: Program, image: Tensor, tile: int, keep: Keep = ()) -> Tensor:
    """A program in passes, each over all tiles: the plainest way to run one, without an engine.

    `keep[p]` are the values that are kept whole when pass p has ended, as `plan_passes` has it.
    """
    known: dict[int, Tensor] = {}
    kept: dict[int, Tensor] = {}
    result = torch.empty(0)
    for part in plan_passes(program, keep):
        ready = part.with_known(known)
        regions = RegionPrograms(ready)

        def fetch(value: int, box: Box) -> Tensor:
            made = program.values[value]
            return narrow(kept[value], made.dims, domain_box(made), box).clone()

        states: list[State | None] = [None] * len(part.barriers)
        grid = Grid(part.shape, (tile,) * len(part.shape))
        for cell in cells_of(Region.from_shape(grid.counts)):
            write = grid.region(cell)
            placed = regions.at(write)
            spans = placed.box(program.input)
            pixels = image[(..., *(slice(*span) for span in spans))].clone() if all(spans) else None
            with torch.inference_mode():
                found = run_region(ready, placed, pixels, lambda: False, fetch)
            if isinstance(found, Gathered):
                states = [
                    b if a is None else a if b is None else node.operation.merge(a, b)
                    for a, b, node in zip(states, found.states, part.barriers, strict=True)
                ]
                for value, box, piece in found.pieces:
                    _put(kept, value, program.values[value], box, piece)
            else:
                if not result.numel():
                    value = program.values[program.output]
                    result = torch.full(value.shape, -1, dtype=value.dtype)
                result[(..., *write.slices())] = found
        if part.barriers:
            known = settle(program, {n.output: s for n, s in zip(part.barriers, states, strict=True)}, known)
    return result


def domain_box(value: Value) -> Box:
    return tuple((0, n) if n is not None else None for n in value.domain)


def _put(kept: dict[int, Tensor], index: int, value: Value, box: Box, piece: Tensor) -> None:
    whole = kept.setdefault(index, torch.full(value.shape, torch.nan, dtype=value.dtype))
    for dim, axes in enumerate(value.dims):
        assert len(axes) < 2, "positions that were flattened are kept before they are"
        for axis in axes:
            span = box[axis]
            assert span is not None
            whole = whole.narrow(dim, span[0], span[1] - span[0])
    whole.copy_(piece)
