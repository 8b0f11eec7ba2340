"""Which pixels are objects."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from napari_seamless.errors import BadRequest

LARGEST_REACH = 64.0


@dataclass(frozen=True)
class ComponentSettings:
    """Which labels are objects: `classes` (None: every one but 0 and the boundary's), joined by faces (`connectivity`
    1) or also by edges and corners.

    `boundary` is a class whose pixels belong to the nearest object within `reach` pixels (boundary.py). Raises
    BadRequest.
    """

    classes: frozenset[int] | None = None
    connectivity: int = 1
    boundary: int | None = None
    reach: float = 4.0

    def __post_init__(self) -> None:
        if not 0 < self.reach <= LARGEST_REACH:
            raise BadRequest(f"a boundary reaches more than 0 and at most {LARGEST_REACH:g} pixels; got {self.reach:g}")
        if self.classes is not None and 0 in self.classes:
            raise BadRequest("label 0 is background, which is no object; leave it out")
        if self.boundary == 0 or (self.classes is not None and self.boundary in self.classes):
            raise BadRequest(
                f"a boundary has a label of its own; got {self.boundary}, which is an object's or the background's"
            )

    def check(self, ndim: int) -> None:
        """Raise BadRequest unless an image of `ndim` axes has such neighbours."""
        if not 1 <= self.connectivity <= ndim:
            raise BadRequest(
                f"connectivity is 1 (pixels that share a face) to {ndim} (also a corner) for an image with {ndim} "
                f"axes; got {self.connectivity}"
            )

    @property
    def reach_pixels(self) -> int:
        """How far from its core a pixel of an object may lie."""
        return 0 if self.boundary is None else ceil(self.reach)

    @property
    def halo(self) -> int:
        """Pixels around a tile that must be known: those of the boundary, and as far out the cores that they may belong
        to instead."""
        return max(1, 2 * self.reach_pixels)
