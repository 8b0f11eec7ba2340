"""How polygons are read from a network's output, and which of them are objects."""

from __future__ import annotations

from dataclasses import dataclass

from napari_seamless.errors import BadRequest

MOST_RAYS = 256
LARGEST_RADIUS = 1024


@dataclass(frozen=True)
class PolygonSettings:
    """What a network gives, and what is made of it.

    `rays` distances (in pixels) of a polygon's vertices from its centre, at equal angles from the x axis towards y;
    `grid` pixels between centres; `classes` scores of classes, if any, after the rays. `probability`: a cell is a
    candidate above it. `overlap`: a candidate loses against a better one if they share more than this part of the
    smaller one's area. `largest_radius` (pixels): rays are cut there, so that it is known how far a polygon can reach.
    `border`: so many cells along the image's border are no candidates. `floor`: what is less likely is not kept of an
    output, so that `probability` can be lowered to it later. Raises BadRequest.
    """

    rays: int = 32
    grid: int = 2
    classes: int = 0
    probability: float = 0.5
    overlap: float = 0.4
    largest_radius: int = 96
    border: int = 2
    floor: float = 0.1

    def __post_init__(self) -> None:
        if not 3 <= self.rays <= MOST_RAYS:
            raise BadRequest(f"a polygon has 3 to {MOST_RAYS} rays; got {self.rays}")
        if self.grid < 1 or self.classes < 0 or self.border < 0:
            raise BadRequest(
                "polygons lie on a grid of 1 or more pixels, of 0 or more classes, and leave out a border of 0 or more "
                f"cells; got a grid of {self.grid}, {self.classes} classes and a border of {self.border}"
            )
        if not 0 <= self.probability < 1:
            raise BadRequest(f"the probability of an object is at least 0 and less than 1; got {self.probability:g}")
        if not 0 <= self.floor < 1:
            raise BadRequest(f"the floor of a probability is at least 0 and less than 1; got {self.floor:g}")
        if not 0 <= self.overlap < 1:
            raise BadRequest(f"objects may overlap by a part of at least 0 and less than 1; got {self.overlap:g}")
        if not 1 <= self.largest_radius <= LARGEST_RADIUS:
            raise BadRequest(
                f"the largest radius of an object is 1 to {LARGEST_RADIUS} pixels; got {self.largest_radius}"
            )

    @property
    def channels(self) -> int:
        """Of the network's output: probability, rays, classes."""
        return 1 + self.rays + self.classes
