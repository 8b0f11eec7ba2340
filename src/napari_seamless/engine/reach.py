"""How far one pixel of the image is felt in the output: the effective receptive field, found by trying."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor, nn

from napari_seamless.engine.probing import Edges, Output
from napari_seamless.errors import BadRequest

SHARE = 0.01
"""Of the largest change: what changes less does not count as reached."""
OVERLAPS = (0.125, 0.5)
UNKNOWN_OVERLAP = 0.25
SPOT = 16
"""Labels do not change for one pixel: there a spot of a tile's edge over this is changed."""


def probe_reach(module: nn.Module, output: Output, tiles: Sequence[Tensor]) -> int | None:
    """How many input pixels away from a change, in the middle of a tile, the output changes by more than SHARE of its
    peak; at most half a tile, since there it ends. None where nothing changed.

    `tiles` are some of the image's, (1, c, *edges) float, as the network takes them (or `noise`); the largest counts.
    The network is in eval mode and on the CPU.
    """
    reaches = [_reach_in(module, output, tile) for tile in tiles]
    return max((r for r in reaches if r is not None), default=None)


def noise(channels: int, edges: Edges, count: int = 2) -> list[Tensor]:
    """Tiles to try a network on where there are none of the image: the same ones each time, of a byte's range."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand((1, channels, *edges), generator=generator) * 255 for _ in range(count)]


def overlap_for(reach: int | None, edges: Edges) -> float:
    """The share of a tile to overlap by: in the middle of the overlap, both tiles see all within `reach`.

    Within OVERLAPS; where nothing is known, UNKNOWN_OVERLAP.
    """
    if reach is None:
        return UNKNOWN_OVERLAP
    smallest, largest = OVERLAPS
    return min(max(2 * reach / min(edges), smallest), largest)


def checked_overlap(overlap: float) -> float:
    """An overlap that somebody asked for. Raises BadRequest."""
    if not 0 <= overlap <= OVERLAPS[1]:
        raise BadRequest(f"tiles overlap by a share of their side from 0 to {OVERLAPS[1]}; got {overlap}; use 0.25")
    return overlap


def _reach_in(module: nn.Module, output: Output, tile: Tensor) -> int | None:
    edges = tuple(tile.shape[2:])
    is_labels = not output.dtype.is_floating_point
    widths = [max(edge // SPOT, 1) if is_labels else 1 for edge in edges]
    firsts = [(edge - width) // 2 for edge, width in zip(edges, widths, strict=True)]
    with torch.inference_mode():
        before = module(tile.clone())
        after = module(_changed(tile, firsts, widths))
        change = (after != before).double() if is_labels else (after.double() - before.double()).abs()
    peak = float(change.max())
    if not peak > 0:
        return None
    felt = (change > SHARE * peak).nonzero()[:, -len(edges) :]
    far = 0
    for first, width, scale, found in zip(firsts, widths, output.scale, felt.unbind(1), strict=True):
        lo, hi = int(found.min()) / scale, (int(found.max()) + 1) / scale
        far = max(far, ceil(first - lo), ceil(hi - first - width))
    return far


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
