"""What a tile costs beside its memory."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.program.analysis import halo, redundancy
from napari_seamless.program.graph import Program
from napari_seamless.program.region_program import RegionPrograms


@dataclass(frozen=True)
class TileCost:
    """A tile of edge `tile` (output pixels): the most input pixels that it reads beyond its own on any side, its
    multiply-adds as a multiple of those of the whole image, and how often the run goes over the tiles."""

    tile: int
    halo: int
    redundancy: float
    passes: int


def tile_cost(last: Program, output_shape: tuple[int, ...], tile: int, passes: int) -> TileCost:
    """What tiles of this edge cost in the pass that makes the output. Up to a second; any thread."""
    edges = (*output_shape[:-2], *(min(tile, n) for n in output_shape[-2:]))
    sides = (halo(last, axis, edges[axis]) for axis in range(last.ndim))
    _, times = redundancy(RegionPrograms(last), edges)
    return TileCost(tile, max(max(pair) for pair in sides), times, passes)
