"""MALIS: a loss on which pixels end up together, not on single edges.

Turaga et al., Maximin affinity learning of image segmentation (NIPS 2009, arXiv 0911.5372). Segments are the
components of an affinity graph above a threshold. Whether two pixels end up in one is decided by a single edge: the
weakest on the path between them whose weakest edge is strongest. The loss of every pair of pixels falls on that
*maximin edge*::

    same instance:      max(0, 1 - margin - affinity)^2        should be joined
    other instances:    max(0, affinity - margin)^2            should not

The maximin path of any pair runs along the maximum spanning tree. Kruskal's algorithm adds edges strongest first, and
the edge that joins two pieces is the maximin edge of all pairs across them; how many of these are of one instance
follows from the instances counted in each piece. So all pairs are counted in one walk over the tree's edges.

Early in training one bad edge can carry nearly all pairs. Funke et al. (Large Scale Image Segmentation with Structured
Loss Based Deep Learning, 2019) count in two *constrained* passes: pairs of one instance along edges inside instances
alone, as if all others were 0; pairs of other instances with all edges inside instances at 1, so that only edges
between them can be blamed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import minimum_spanning_tree
from torch import Tensor, nn

from napari_seamless.errors import BadRequest, InputMismatch
from napari_seamless.training.losses.affinity import PLANE, Offsets, affinities_of, edge_list

Counts = NDArray[np.float64]


def maximin_pairs(
    affinities: NDArray[np.floating], labels: NDArray[np.integer], offsets: Offsets = PLANE
) -> tuple[Counts, Counts]:
    """For each edge, of how many pairs it is the maximin edge: pairs of one instance, and pairs of two.

    Both are float64 (offsets, (z,) y, x), as `affinities`. Pixels of label 0 are in no pair, but paths may cross them.
    Of equal edges the one that comes first in the array is taken for the stronger.
    """
    first, second, places = edge_list(labels.shape, offsets)
    order = np.argsort(-affinities.ravel()[places], kind="stable")
    first, second, places = first[order], second[order], places[order]
    same, other = np.zeros(affinities.size), np.zeros(affinities.size)
    pieces = _Pieces(labels.ravel())
    for edge in _tree(first, second, labels.size):
        same[places[edge]], other[places[edge]] = pieces.join(int(first[edge]), int(second[edge]))
    return same.reshape(affinities.shape), other.reshape(affinities.shape)


def constrained_pairs(
    affinities: NDArray[np.floating], labels: NDArray[np.integer], offsets: Offsets = PLANE
) -> tuple[Counts, Counts]:
    """As `maximin_pairs`, in the two passes of Funke et al.: edges that are held at 0 or 1 carry nothing."""
    inside = affinities_of(labels, offsets) > 0
    same, _ = maximin_pairs(np.where(inside, affinities, -np.inf), labels, offsets)
    _, other = maximin_pairs(np.where(inside, np.inf, affinities), labels, offsets)
    return same * inside, other * ~inside


class MalisLoss(nn.Module):
    """Affinities (n, offsets, (z,) y, x) in 0..1 and instance numbers (n, (z,) y, x) -> scalar.

    Parameters
    ----------
    offsets
        The neighbourhood: `affinity.PLANE`, `affinity.VOLUME`, or any.
    margin
        Pairs of one instance whose maximin affinity is above 1 - margin cost nothing, nor others below margin.
    constrained
        Count in the two passes of Funke et al.
    balanced
        Divide pairs of one instance by their own number and pairs of two by theirs; else both by the number of all
        pairs, so that the loss is a smooth form of 1 - Rand index.

    Pairs are counted on the CPU (numpy, scipy) at every call; only the affinities get a gradient.
    """

    def __init__(
        self, offsets: Offsets = PLANE, margin: float = 0.3, constrained: bool = True, balanced: bool = True
    ) -> None:
        super().__init__()
        if not 0 <= margin < 0.5:
            raise BadRequest(f"the margin must be at least 0 and below 0.5; got {margin}; use 0.3")
        self.offsets, self.margin, self.constrained, self.balanced = offsets, margin, constrained, balanced

    def forward(self, affinities: Tensor, labels: Tensor) -> Tensor:
        """Raises InputMismatch for other shapes, and for labels without any pixel of an instance."""
        expected = (len(labels), len(self.offsets), *labels.shape[1:])
        if tuple(affinities.shape) != expected:
            raise InputMismatch(
                f"affinities must be (n, offsets, ...) of the labels, here {expected}; got {tuple(affinities.shape)}; "
                "cut both to the same region"
            )
        if not bool((labels != 0).any()):
            raise InputMismatch(
                "MALIS counts pairs of pixels of instances; got labels of background alone; "
                "leave such images out or draw other crops"
            )
        count = constrained_pairs if self.constrained else maximin_pairs
        counted = [
            count(a, b, self.offsets)
            for a, b in zip(affinities.detach().cpu().double().numpy(), labels.cpu().numpy(), strict=True)
        ]
        same, other = (self._weights([pair[k] for pair in counted], labels, affinities) for k in (0, 1))
        join = (1 - self.margin - affinities).clamp_min(0).square()
        part = (affinities - self.margin).clamp_min(0).square()
        return (same * join + other * part).sum()

    def _weights(self, counts: Sequence[Counts], labels: Tensor, like: Tensor) -> Tensor:
        counted = np.stack(counts)
        if self.balanced:
            total = counted.sum()
        else:
            inside = (labels != 0).flatten(1).sum(1).double()
            total = float((inside * (inside - 1) / 2).sum())
        return torch.from_numpy(counted / max(float(total), 1.0)).to(like)


def _tree(first: NDArray[np.int64], second: NDArray[np.int64], nodes: int) -> NDArray[np.int64]:
    """Which edges, given strongest first, are those of the maximum spanning tree; strongest first."""
    # numbers in order as weights: no two are equal and none is zero, which scipy would take for no edge
    ranks = np.arange(1, len(first) + 1, dtype=np.float64)
    graph = coo_array((ranks, (first, second)), shape=(nodes, nodes))
    kept = minimum_spanning_tree(graph.tocsr()).data
    return np.sort(kept).astype(np.int64) - 1


class _Pieces:
    """Union-find over pixels that knows how many pixels of each instance a piece has."""

    def __init__(self, labels: NDArray[np.integer]) -> None:
        self.parents = list(range(len(labels)))
        self.instances: list[dict[int, int]] = [{label: 1} if label else {} for label in labels.tolist()]
        self.sizes = [len(own) for own in self.instances]

    def join(self, one: int, two: int) -> tuple[int, int]:
        """Join the pieces of two pixels; the pairs across them that are of one instance, and those of two."""
        large, small = self._root(one), self._root(two)
        if len(self.instances[large]) < len(self.instances[small]):
            large, small = small, large
        into, own = self.instances[large], self.instances[small]
        same = sum(count * into.get(label, 0) for label, count in own.items())
        pairs = self.sizes[large] * self.sizes[small]
        for label, count in own.items():
            into[label] = into.get(label, 0) + count
        self.instances[small] = {}
        self.parents[small] = large
        self.sizes[large] += self.sizes[small]
        return same, pairs - same

    def _root(self, node: int) -> int:
        parents = self.parents
        while parents[node] != node:
            parents[node] = node = parents[parents[node]]
        return node
