"""The moments of a pass: what its tiles measured, merged as it comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_seamless.errors import BadRequest
from napari_seamless.geometry import Grid, Region
from napari_seamless.program.ops.barrier import Barrier, State

Arrays = tuple[NDArray[np.float64], ...]
States = tuple[Arrays | None, ...]
"""For each barrier of a pass what one tile contributes, None where it owns none of its pixels. Picklable, small."""


class MomentsSink:
    """Implements `interfaces.Sink` and `interfaces.Receiver` for a pass over `grid`.

    States are merged in pairs of neighbours, pairs of pairs and so on, by the number of their tile, so that the result
    does not depend on the order in which tiles come in, and few of them wait at any time.
    """

    def __init__(self, barriers: Sequence[Barrier], grid: Grid) -> None:
        self._barriers = tuple(barriers)
        self._grid = grid
        self._waiting: dict[tuple[int, int], tuple[State | None, ...]] = {}

    def write(self, region: Region, pixels: States) -> States:
        """Hand a tile's states on, to be received in the driving thread."""
        del region
        return pixels

    def receive(self, region: Region, receipt: States) -> None:
        """Merge a tile's states. Driving thread."""
        states = tuple(s if s is None else tuple(torch.from_numpy(a) for a in s) for s in receipt)
        self._merge(0, self._number(region), states)

    def commit(self, region: Region) -> None:
        """Nothing more is to be done."""

    def result(self) -> tuple[State, ...]:
        """The states of the whole plane, when all tiles are in. Raises BadRequest where a mask left nothing."""
        merged: tuple[State | None, ...] | None = None
        for key in sorted(self._waiting, key=lambda k: k[1] << k[0]):
            merged = self._waiting[key] if merged is None else self._pair(merged, self._waiting[key])
        assert merged is not None
        found = [state for state in merged if state is not None]
        if len(found) < len(self._barriers):
            raise BadRequest(
                "statistics need at least one pixel on every grid of the network; the mask has none; use a larger mask"
            )
        return tuple(found)

    def _number(self, region: Region) -> int:
        cell = self._grid.covering(region).start
        return int(np.ravel_multi_index(cell, self._grid.counts))

    def _merge(self, level: int, number: int, states: tuple[State | None, ...]) -> None:
        while (level, number ^ 1) in self._waiting:
            other = self._waiting.pop((level, number ^ 1))
            states = self._pair(states, other) if number % 2 == 0 else self._pair(other, states)
            level, number = level + 1, number // 2
        self._waiting[level, number] = states

    def _pair(self, first: tuple[State | None, ...], second: tuple[State | None, ...]) -> tuple[State | None, ...]:
        return tuple(
            b if a is None else a if b is None else barrier.merge(a, b)
            for barrier, a, b in zip(self._barriers, first, second, strict=True)
        )


def merged(barriers: Sequence[Barrier], first: States, second: States) -> States:
    """What two neighbouring regions contribute together."""
    return tuple(
        b if a is None else a if b is None else as_arrays([barrier.merge(as_state(a), as_state(b))])[0]
        for barrier, a, b in zip(barriers, first, second, strict=True)
    )


def as_arrays(states: Sequence[State | None]) -> States:
    """States as they travel."""
    return tuple(None if s is None else tuple(part.numpy() for part in s) for s in states)


def as_state(arrays: Sequence[Any]) -> State:
    """A state as it is merged and finished."""
    return tuple(torch.from_numpy(np.asarray(n, dtype=np.float64)) for n in arrays)
