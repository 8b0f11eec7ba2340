"""How far one pixel of the image is felt in the output: the effective receptive field, found by trying."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from torch import Tensor, nn

from napari_seamless.errors import BadRequest
from napari_seamless.runtime.engine.tile_probe import Edges, Output

SHARE = 0.01
"""Of the change where it is most, both as root mean squares at one distance: what changes less is not reached."""
EVENLY = 2.0
"""Nor what changes by less than this many times what the outermost quarter does: a norm over the tile is felt all over
it, and no overlap can help that."""
OVERLAPS = (0.125, 0.5)
UNKNOWN_OVERLAP = 0.25
STEPS = 16
SPOT = 16
"""Whole numbers hardly change for one pixel: there a spot of a tile's edge over this is changed."""


@dataclass(frozen=True)
class Reach:
    """How many input pixels away a change is felt by more than SHARE of the most, and by more than evenly all over.

    At most half a tile, since there it ends. `everywhere` says that beyond `near` the whole tile feels it a little, as
    through a gate, a norm or a pool over the plane.
    """

    near: int
    everywhere: bool = False


def probe_reach(module: nn.Module, output: Output, tiles: Sequence[Tensor], *, labels: bool = False) -> Reach | None:
    """How far a change in the middle of a tile is felt in the output; None where nothing changed.

    `tiles` are some of the image's, (1, c, *edges) float, as the network takes them (or `noise`); the largest counts.
    With `labels`, what counts is whether an output pixel has another one. The network is in eval mode, on the CPU.
    """
    reaches = [_reach_in(module, output, tile, labels) for tile in tiles]
    felt = [r for r in reaches if r is not None]
    return Reach(max(r.near for r in felt), any(r.everywhere for r in felt)) if felt else None


def noise(channels: int, edges: Edges, count: int = 2) -> list[Tensor]:
    """Tiles to try a network on where there are none of the image: the same ones each time, of a byte's range."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((1, channels, *edges), generator=generator) * 255 for _ in range(count)]


def overlap_for(reach: int | None, edges: Edges) -> float:
    """The share of a tile to overlap by: in the middle of the overlap, both tiles see all within `reach`.

    Within OVERLAPS and in STEPS, so that rounding makes no other result; where nothing is known, UNKNOWN_OVERLAP.
    """
    if reach is None:
        return UNKNOWN_OVERLAP
    smallest, largest = OVERLAPS
    return min(max(ceil(2 * reach / min(edges) * STEPS) / STEPS, smallest), largest)


def checked_overlap(overlap: float) -> float:
    """An overlap that somebody asked for. Raises BadRequest."""
    if not 0 <= overlap <= OVERLAPS[1]:
        raise BadRequest(f"tiles overlap by a share of their side from 0 to {OVERLAPS[1]}; got {overlap}; use 0.25")
    return overlap


def _reach_in(module: nn.Module, output: Output, tile: Tensor, labels: bool) -> Reach | None:
    edges = tuple(tile.shape[2:])
    widths = [1 if output.dtype.is_floating_point else max(edge // SPOT, 1) for edge in edges]
    firsts = [(edge - width) // 2 for edge, width in zip(edges, widths, strict=True)]
    with torch.inference_mode():
        before = module(tile.clone())
        after = module(_changed(tile, firsts, widths))
        change = (after != before).double() if labels else (after.double() - before.double()).abs()
    rings = _rings(edges, firsts, widths, output)
    felt = _root_mean_square(change.reshape(-1, *rings.shape), rings)
    peak = float(felt.max())
    if not peak > 0:
        return None
    outermost = len(felt) * 3 // 4
    evenly = float(felt[outermost:].median())
    reached = (felt > max(SHARE * peak, EVENLY * evenly)).nonzero()
    near = int(reached.max()) if len(reached) else 0
    return Reach(near, everywhere=evenly > 0 and near < outermost)


def _rings(edges: Sequence[int], firsts: Sequence[int], widths: Sequence[int], output: Output) -> Tensor:
    """How many input pixels each output pixel lies away from the middle, along the axis where that is most."""
    farthest = torch.zeros((), dtype=torch.int64)
    for axis, (edge, first, width, scale) in enumerate(zip(edges, firsts, widths, output.scale, strict=True)):
        at = torch.arange(int(edge * scale), dtype=torch.float64)
        before, after = first - at / float(scale), (at + 1) / float(scale) - first - width
        away = torch.maximum(before, after).clamp(min=0).ceil().to(torch.int64)
        farthest = torch.maximum(farthest, away.reshape([-1 if k == axis else 1 for k in range(len(edges))]))
    return farthest


def _root_mean_square(change: Tensor, rings: Tensor) -> Tensor:
    """Of `change`, (n, *rings.shape), on each ring: single pixels far away that tip over by chance do not count."""
    which = rings.flatten()
    squares = (change**2).mean(0).flatten()
    total = torch.zeros(int(which.max()) + 1, dtype=torch.float64).index_add_(0, which, squares)
    return (total / torch.bincount(which).clamp(min=1)).sqrt()


def _changed(tile: Tensor, firsts: Sequence[int], widths: Sequence[int]) -> Tensor:
    """The tile with its middle moved by a standard deviation: to the other side of the mean, so it stays in range."""
    spread = tile.std()
    by = spread if spread > 0 else torch.ones(())
    result = tile.clone()
    middle = result
    for k, (first, width) in enumerate(zip(firsts, widths, strict=True)):
        middle = middle.narrow(2 + k, first, width)
    middle -= torch.where(middle > tile.mean(), by, -by)
    return result
