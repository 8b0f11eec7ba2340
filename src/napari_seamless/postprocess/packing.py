"""Lists of arrays and regions as a few arrays, for states that are saved."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_seamless.geometry import Region
from napari_seamless.postprocess.object_table import Ints
from napari_seamless.postprocess.step import SavedState


def packed(name: str, arrays: Sequence[Ints], ndim: int | None = None) -> SavedState:
    """Arrays (n,), or (n, ndim), end to end, and their lengths."""
    nothing = np.zeros(0 if ndim is None else (0, ndim), np.int64)
    lengths = np.array([len(array) for array in arrays], np.int64)
    return {name: np.concatenate([nothing, *arrays]), f"{name}_lengths": lengths}


def unpacked(name: str, saved: SavedState) -> list[Ints]:
    """What was `packed`."""
    return np.split(saved[name], np.cumsum(saved[f"{name}_lengths"]))[:-1]


def boxes_of(regions: Sequence[Region], ndim: int) -> Ints:
    """(n, 2, ndim): start and stop of each."""
    return np.array([(r.start, r.stop) for r in regions], np.int64).reshape(-1, 2, ndim)


def regions_of(boxes: Ints) -> list[Region]:
    """What `boxes_of` was given."""
    return [Region.of(*zip(start, stop, strict=True)) for start, stop in boxes.tolist()]


def named(prefix: str, state: SavedState) -> SavedState:
    """A part of a state, under names of its own."""
    return {f"{prefix}.{name}": array for name, array in state.items()}


def part(prefix: str, saved: SavedState) -> SavedState:
    """What was `named`, as copies."""
    return {name[len(prefix) + 1 :]: a.copy() for name, a in saved.items() if name.startswith(f"{prefix}.")}
