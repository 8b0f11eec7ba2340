"""Where overlapping input tiles lie along an axis, and how much each of them counts.

::

    image        0 ........................ n
    tile 0       [------ edge ------)
    tile 1              [------ edge ------)         `step` further
    last tile              [------ edge ------)      moved back inside

The tiles are anchored at zero, never at what is asked for, and their weights at a pixel sum to one; so a pixel of the
result depends on the image alone, and not on how the work is cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from napari_seamless.geometry import Interval

SIGMA = 1 / 8
"""Of the gaussian of weights, as a share of a tile's edge: that of nnU-Net and MONAI."""


@dataclass(frozen=True)
class AxisTiles:
    """Input tiles of `edge` pixels along an axis of `size` pixels, about `overlap` of them shared by two neighbours.

    `scale` is output pixels per input pixel, a whole number or one over it; the edge holds a whole number of output
    pixels. Tiles begin where output pixels do, so the image counts as continued up to the next such place, and to at
    least one tile.
    """

    size: int
    edge: int
    overlap: float
    scale: Fraction = Fraction(1)

    @property
    def stride(self) -> int:
        """Input pixels from one output pixel to the next, at least 1."""
        return self.scale.denominator

    @property
    def step(self) -> int:
        """From one tile's beginning to the next one's."""
        return max(int(self.edge * (1 - self.overlap)) // self.stride, 1) * self.stride

    @property
    def extent(self) -> int:
        """Pixels covered: the image's, continued as said above."""
        return max(self.edge, -(-self.size // self.stride) * self.stride)

    @property
    def output_size(self) -> int:
        """Output pixels of the whole axis."""
        return int(-(-self.size * self.scale // 1))

    @property
    def output_edge(self) -> int:
        """Output pixels of a tile."""
        return int(self.edge * self.scale)

    @property
    def count(self) -> int:
        return 1 + -(-(self.extent - self.edge) // self.step)

    def start(self, index: int) -> int:
        """The first input pixel of a tile."""
        return min(index * self.step, self.extent - self.edge)

    def inside(self, index: int) -> Interval:
        """The pixels of the image that a tile sees."""
        start = self.start(index)
        return Interval(start, min(start + self.edge, self.size))

    def output(self, index: int) -> Interval:
        """The output pixels of a tile; beyond the image's for a tile that reaches beyond it."""
        start = int(self.start(index) * self.scale)
        return Interval(start, start + self.output_edge)

    def covering(self, span: Interval) -> range:
        """The tiles that make any of these output pixels (not empty, within the output)."""
        step, last = int(self.step * self.scale), self.count - 1
        first = min(max((span.lo - self.output_edge) // step + 1, 0), last)
        final = last if self.output(last).lo < span.hi else -(-span.hi // step) - 1
        return range(first, final + 1)

    def cuts(self, span: Interval) -> list[Interval]:
        """`span` cut so that each part lies in the same tiles all over."""
        ends = {span.lo, span.hi}
        for index in self.covering(span):
            output = self.output(index)
            ends.update(e for e in (output.lo, output.hi) if span.lo < e < span.hi)
        places = sorted(ends)
        return [Interval(lo, hi) for lo, hi in pairwise(places)]

    def weights(self, index: int) -> NDArray[np.float64]:
        """How much each output pixel of a tile counts, (output_edge,); 1 where no other tile has it."""
        mine = self.output(index)
        total = np.zeros(mine.size)
        for other in self.covering(mine):
            total += self._bell(self.output(other).lo, mine)
        weights: NDArray[np.float64] = self._bell(mine.lo, mine) / total
        return weights

    def _bell(self, first: int, span: Interval) -> NDArray[np.float64]:
        """A gaussian over the tile whose first output pixel is `first`, 0 outside, at the pixels of `span`."""
        at = np.arange(span.lo, span.hi) - first
        middle, sigma = (self.output_edge - 1) / 2, SIGMA * self.output_edge
        bell: NDArray[np.float64] = np.exp(-0.5 * ((at - middle) / sigma) ** 2)
        bell[(at < 0) | (at >= self.output_edge)] = 0
        return bell
