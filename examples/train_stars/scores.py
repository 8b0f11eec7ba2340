"""How well objects that were found agree with those that people outlined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

THRESHOLDS = tuple(round(0.5 + 0.05 * k, 2) for k in range(9))
"""Of the intersection over union from which on two objects are one; at the first it must be more."""


@dataclass(frozen=True, eq=False)
class Agreement:
    """One image: how many objects there are and how many were found, the intersection over union of those that are
    each other's only match (more than 0.5), and the pixels of Kumar's aggregated Jaccard index."""

    real: int
    found: int
    overlaps: np.ndarray
    shared: int
    united: int


def agreement(labels: np.ndarray, found: np.ndarray) -> Agreement:
    """Of two label images (y, x); 0 is background."""
    pairs, shared = np.unique(np.stack([labels.ravel(), found.ravel()]), axis=1, return_counts=True)
    sizes, others = (np.bincount(a.ravel()) for a in (labels, found))
    sizes[0] = others[0] = 0
    both = pairs.all(axis=0)
    real, said, shared = pairs[0, both], pairs[1, both], shared[both]
    overlap = shared / (sizes[real] + others[said] - shared)
    best = np.array([np.flatnonzero(real == n)[overlap[real == n].argmax()] for n in np.unique(real)], int)
    unused = np.setdiff1d(np.flatnonzero(others), said[best])
    united = int((others[said[best]] - shared[best]).sum() + sizes.sum() + others[unused].sum())
    counts = [int((n > 0).sum()) for n in (sizes, others)]
    return Agreement(*counts, overlap[overlap > 0.5], int(shared[best].sum()), united)


def summary(some: Sequence[Agreement]) -> dict[str, float | int]:
    """Objects of all images together, but the aggregated Jaccard index, which is the mean over images with objects."""
    real, found = sum(one.real for one in some), sum(one.found for one in some)
    overlaps = np.concatenate([np.zeros(0), *(one.overlaps for one in some)])
    figures: dict[str, float | int] = {"images": len(some), "objects": real, "found": found}
    figures["f1"] = 2 * len(overlaps) / max(real + found, 1)
    figures["pq"] = 2 * float(overlaps.sum()) / max(real + found, 1)
    figures["aji"] = float(np.mean([one.shared / one.united for one in some if one.united] or [0.0]))
    for threshold in THRESHOLDS:
        hits = int((overlaps >= threshold).sum())
        figures[f"ap_{threshold:g}"] = hits / max(real + found - hits, 1)
    return {name: round(value, 4) for name, value in figures.items()}
