"""Affinities: whether neighbouring pixels belong together.

An affinity graph has a node for each pixel and an edge from it along each of some offsets. It is kept as an array
(offsets, (z,) y, x): entry [k, p] is the edge from pixel p to pixel p + offset k. Entries whose other end lies outside
the image are zero and mean nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from napari_seamless.errors import BadRequest, InputMismatch

Offsets = Sequence[tuple[int, ...]]
PLANE: Offsets = ((1, 0), (0, 1))
"""Each pixel with the one below and the one to the right: four neighbours."""
VOLUME: Offsets = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
"""Each voxel with those behind, below and to the right: six neighbours."""


def affinities_of(labels: NDArray[np.integer], offsets: Offsets = PLANE) -> NDArray[np.float32]:
    """Instance numbers ((z,) y, x) -> float32 affinities: 1 within one instance, else 0. Number 0 is background."""
    _refuse_other_axes(labels.ndim, offsets)
    result = np.zeros((len(offsets), *labels.shape), dtype=np.float32)
    for edges, offset in zip(result, offsets, strict=True):
        here, there = _ends(labels.shape, offset)
        edges[here] = (labels[here] == labels[there]) & (labels[here] != 0)
    return result


def affinities_of_probability(probability: Tensor, offsets: Offsets = PLANE) -> Tensor:
    """Probability (n, (z,) y, x) of being inside -> affinities (n, offsets, (z,) y, x): the smaller of an edge's two
    ends.

    Two pixels are joined at a threshold if both are inside at it, so the components of the affinities are those of the
    probability. This is how a network for pixels learns from a loss on edges (Tschopp, arXiv 1509.03371); the gradient
    goes to the smaller end.
    """
    _refuse_other_axes(probability.dim() - 1, offsets)
    shape = tuple(probability.shape[1:])
    result = []
    for offset in offsets:
        here, there = _ends(shape, offset)
        edges = torch.zeros_like(probability)
        edges[(slice(None), *here)] = torch.minimum(
            probability[(slice(None), *here)], probability[(slice(None), *there)]
        )
        result.append(edges)
    return torch.stack(result, dim=1)


def segments_of(
    affinities: NDArray[np.floating], offsets: Offsets = PLANE, threshold: float = 0.5, smallest: int = 2
) -> NDArray[np.int32]:
    """Affinities (offsets, (z,) y, x) -> int32 instance numbers: what edges above `threshold` join.

    Pieces of fewer than `smallest` pixels are background, 0.
    """
    shape = affinities.shape[1:]
    first, second, edges = edge_list(shape, offsets)
    joined = affinities.ravel()[edges] > threshold
    count = int(np.prod(shape))
    graph = coo_array((np.ones(joined.sum(), dtype=np.int8), (first[joined], second[joined])), shape=(count, count))
    _, pieces = connected_components(graph, directed=False)
    large = np.bincount(pieces) >= smallest
    numbers = np.where(large, np.cumsum(large), 0)
    return np.asarray(numbers[pieces].reshape(shape), dtype=np.int32)


def edge_list(shape: Sequence[int], offsets: Offsets) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """All edges of an image: the flat numbers of both their pixels, and where they lie in the flat affinities."""
    _refuse_other_axes(len(shape), offsets)
    nodes = np.arange(int(np.prod(shape))).reshape(shape)
    first, second, places = [], [], []
    for number, offset in enumerate(offsets):
        here, there = _ends(tuple(shape), offset)
        first.append(nodes[here].ravel())
        second.append(nodes[there].ravel())
        places.append(first[-1] + number * nodes.size)
    return np.concatenate(first), np.concatenate(second), np.concatenate(places)


def _ends(shape: tuple[int, ...], offset: tuple[int, ...]) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Where edges along an offset begin, and where they end."""
    here = tuple(slice(max(0, -o), max(0, n - max(0, o))) for n, o in zip(shape, offset, strict=True))
    there = tuple(slice(max(0, o), max(0, n + min(0, o))) for n, o in zip(shape, offset, strict=True))
    return here, there


def _refuse_other_axes(axes: int, offsets: Offsets) -> None:
    if not offsets or any(len(offset) != axes or not any(offset) for offset in offsets):
        raise (InputMismatch if offsets else BadRequest)(
            f"each offset must have a step for each of the image's {axes} axes, not all zero; got {tuple(offsets)}; "
            "use PLANE for (y, x) and VOLUME for (z, y, x)"
        )
    both_ways = {*offsets, *(tuple(-step for step in offset) for offset in offsets)}
    if len(both_ways) < 2 * len(offsets):
        raise BadRequest(
            f"each offset must be given once and one way only, as an edge has no direction; got {tuple(offsets)}; "
            "leave out what comes twice"
        )
