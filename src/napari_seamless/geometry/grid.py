"""Regular grids: a domain cut into equal cells, anchored at zero.

Chunks of a store and tiles of a plan are both cells of such a grid. The anchor is the domain's origin, never a view,
so that a region computed alone has the same cells as the full run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

from napari_seamless.errors import BadRequest
from napari_seamless.geometry.region import Interval, Region

Cell = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cells of `cell` pixels over a domain of `shape` pixels; the last cell of an axis may be shorter.

    >>> grid = Grid(shape=(1000, 700), cell=(512, 512))
    >>> grid.counts
    (2, 2)
    >>> grid.region((1, 1))
    y[512, 1000) x[512, 700)
    """

    shape: tuple[int, ...]
    cell: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.shape) != len(self.cell) or any(c < 1 for c in self.cell) or any(n < 1 for n in self.shape):
            raise BadRequest(f"a grid needs a positive size for every axis; got shape {self.shape}, cell {self.cell}")

    @property
    def counts(self) -> tuple[int, ...]:
        return tuple(-(-n // c) for n, c in zip(self.shape, self.cell, strict=True))

    @property
    def size(self) -> int:
        """Number of cells."""
        return prod(self.counts)

    def region(self, index: Cell) -> Region:
        """The pixels of one cell, cut at the domain's far edge."""
        bounds = zip(index, self.cell, self.shape, strict=True)
        return Region(tuple(Interval(i * c, min((i + 1) * c, n)) for i, c, n in bounds))

    def covering(self, region: Region) -> Region:
        """Cell indices, as a region on the grid of cells, of all cells that touch `region` (cut to the domain)."""
        inside = region.intersect(Region.from_shape(self.shape))
        if inside.is_empty:
            return Region(tuple(Interval(0, 0) for _ in self.shape))
        pairs = zip(inside.intervals, self.cell, strict=True)
        return Region(tuple(Interval(i.lo // c, -(-i.hi // c)) for i, c in pairs))

    def pixels(self, cells: Region) -> Region:
        """The pixels of a box of cells."""
        triples = zip(cells.intervals, self.cell, self.shape, strict=True)
        return Region(tuple(Interval(i.lo * c, min(i.hi * c, n)) for i, c, n in triples))

    def aligned(self, region: Region) -> bool:
        """Whether `region` is made of whole cells."""
        return self.pixels(self.covering(region)) == region


def cells_of(box: Region) -> Iterator[Cell]:
    """All cell indices of a box, in row-major order."""
    return product(*(range(i.lo, i.hi) for i in box.intervals))
