"""Particles as columns: each pixel in a cell starts one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_seamless.postprocess.object_table import Ints

LOST = -1


@dataclass(frozen=True, eq=False)
class Particles:
    """Columns of n particles.

    `start` and `place` (n, 2) are the pixel where it started and where it is, `part` (n, 2; float64, at least 0 and
    less than 1) how far beyond that pixel; `left` (int16) the steps that it has still to make, 0 when it has come to
    its end, `LOST` when it went too far. Of the pixel where it started: `logit` (float32), `kind` (uint16) the class,
    from 0, `cut` whether its flow was longer than a step may be, `step` (n, 2 or 0; float32) the flow if that is
    compared.
    """

    start: Ints
    place: Ints
    part: NDArray[np.float64]
    left: NDArray[np.int16]
    logit: NDArray[np.float32]
    kind: NDArray[np.uint16]
    cut: NDArray[np.bool_]
    step: NDArray[np.float32]

    @classmethod
    def of(cls, columns: Mapping[str, NDArray[Any]]) -> Particles:
        """What `columns` gave."""
        return cls(**{name: columns[name] for name in _NAMES})

    @classmethod
    def joined(cls, some: Sequence[Particles]) -> Particles:
        """The rows of all, of which there is at least one."""
        return cls(*(np.concatenate(column) for column in zip(*(one.columns.values() for one in some), strict=True)))

    @property
    def columns(self) -> dict[str, NDArray[Any]]:
        return {name: getattr(self, name) for name in _NAMES}

    def __len__(self) -> int:
        return len(self.left)

    def take(self, rows: NDArray[np.generic]) -> Particles:
        """These rows (numbers or bool)."""
        return Particles(*(column[rows] for column in self.columns.values()))


_NAMES = tuple(one.name for one in fields(Particles))
